use std::sync::Arc;

use rustls::Error;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::Credentials;
use crate::verify::covers;

/// A server's certificates, of which each client gets the one that fits.
#[derive(Debug)]
pub(crate) struct ByName {
    all: Vec<Own>,
    requires_name: bool,
}

#[derive(Debug)]
struct Own {
    key: Arc<CertifiedKey>,
    /// DNS names, with wildcards as they are.
    names: Vec<String>,
}

impl ByName {
    pub(crate) fn new(
        credentials: &[Credentials],
        requires_name: bool,
        provider: &CryptoProvider,
    ) -> Result<Self, Error> {
        let own = |own: &Credentials| {
            let key = CertifiedKey::from_der(own.chain().to_vec(), own.key().to_der(), provider)?;
            Ok(Own { key: Arc::new(key), names: own.details().names.dns.clone() })
        };
        let all = credentials.iter().map(own).collect::<Result<_, Error>>()?;
        Ok(Self { all, requires_name })
    }

    /// As Envoy: the exact name, then a wildcard, then the first; of each only those that the
    /// client can use, if there is one.
    fn find(&self, name: Option<&str>, usable: impl Fn(&Own) -> bool) -> Option<&Own> {
        if name.is_none() && self.requires_name {
            return None;
        }
        let is_exact = |own: &&Own| own.names.iter().any(|of| name == Some(of.as_str()));
        let is_covered =
            |own: &&Own| name.is_some_and(|name| own.names.iter().any(|of| covers(of, name)));
        let usable = || self.all.iter().filter(|own| usable(own));
        let found = usable().find(is_exact).or_else(|| usable().find(is_covered));
        found.or_else(|| usable().next()).or(self.all.first())
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        let usable = |own: &Own| own.key.key.choose_scheme(schemes).is_some();
        self.find(hello.server_name(), usable).map(|own| Arc::clone(&own.key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PrivateKey, provider};

    fn credentials(names: &[&str]) -> Credentials {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let pair = rcgen::generate_simple_self_signed(names).unwrap();
        let key = PrivateKey::from_pem(&pair.signing_key.serialize_pem()).unwrap();
        Credentials::new(&pair.cert.pem(), key).unwrap()
    }

    #[test]
    fn the_name_chooses_among_those_that_the_client_can_use() {
        let all = [&["first.test"][..], &["*.a.test"], &["www.a.test", "b.test"]].map(credentials);
        let by_name = ByName::new(&all, false, &provider()).unwrap();
        let place = |name: Option<&str>, usable: &[bool]| {
            let at = |own: &Own| by_name.all.iter().position(|other| std::ptr::eq(own, other));
            by_name.find(name, |own| usable[at(own).unwrap()]).and_then(at)
        };
        let all = [true; 3];
        for (name, expected) in [
            ("www.a.test", 2),
            ("x.a.test", 1),
            ("x.y.a.test", 0),
            ("b.test", 2),
            ("first.test", 0),
            ("other.test", 0),
        ] {
            assert_eq!(place(Some(name), &all), Some(expected), "{name}");
        }
        assert_eq!(place(Some("www.a.test"), &[true, true, false]), Some(1));
        assert_eq!(place(None, &[false, true, true]), Some(1));
        assert_eq!(place(None, &[false; 3]), Some(0));
    }

    #[test]
    fn who_names_nobody_may_be_refused() {
        let by_name = ByName::new(&[credentials(&["a.test"])], true, &provider()).unwrap();
        assert!(by_name.find(None, |_| true).is_none());
        assert!(by_name.find(Some("b.test"), |_| true).is_some());
    }
}
