//! What must not leave the cluster, even where nobody should have put it.

use std::borrow::Cow;

use regex::{Regex, Replacer};

/// Takes private keys and tokens out of texts.
pub(super) struct Redact {
    key: Regex,
    token: Regex,
}

impl Redact {
    pub(super) fn new() -> Result<Self, regex::Error> {
        Ok(Self {
            // As PEM has it, with line breaks or as JSON writes them.
            key: Regex::new(
                r"(?s)-----BEGIN ([A-Z0-9 ]*)PRIVATE KEY-----.*?(-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)",
            )?,
            // JSON Web Tokens: three parts, the first of which begins with `{"`.
            token: Regex::new(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}")?,
        })
    }

    pub(super) fn text(&self, text: &str) -> String {
        let without = replace(&self.key, text, "[a private key was here]");
        replace(&self.token, &without, "[a token was here]").into_owned()
    }
}

fn replace<'a>(what: &Regex, text: &'a str, with: impl Replacer) -> Cow<'a, str> {
    what.replace_all(text, with)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_tokens_are_taken_out_and_nothing_else() {
        let redact = Redact::new().unwrap();
        let text = "a\n-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----\nb \
                    {\"x\": \"-----BEGIN PRIVATE KEY-----\\nMHcC\\n-----END PRIVATE KEY-----\\n\"} \
                    eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlIn0.c2lnbmF0dXJl c";
        let clean = redact.text(text);
        assert!(!clean.contains("MHcC") && !clean.contains("c2lnbmF0dXJl"), "{clean}");
        assert!(clean.starts_with("a\n[a private") && clean.ends_with("[a token was here] c"));
        let cut = redact.text("-----BEGIN PRIVATE KEY-----\nMHcC");
        assert!(!cut.contains("MHcC"), "{cut}");
        let certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----";
        assert_eq!(redact.text(certificate), certificate);
    }
}
