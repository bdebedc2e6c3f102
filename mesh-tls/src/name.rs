use x509_parser::x509::{RelativeDistinguishedName, X509Name};

/// The last part first, as Envoy writes subjects (OpenSSL's XN_FLAG_RFC2253).
pub(crate) fn rfc2253(name: &X509Name<'_>) -> String {
    let part = |part: &RelativeDistinguishedName<'_>| {
        let attributes = part.iter().map(|attribute| {
            let oid = attribute.attr_type().to_id_string();
            let value = attribute.as_str().unwrap_or_default();
            format!("{}={}", short_name(&oid).unwrap_or(&oid), escaped(value))
        });
        attributes.collect::<Vec<_>>().join("+")
    };
    let mut parts: Vec<_> = name.iter_rdn().map(part).collect();
    parts.reverse();
    parts.join(",")
}

fn short_name(oid: &str) -> Option<&'static str> {
    Some(match oid {
        "2.5.4.3" => "CN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "street",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "0.9.2342.19200300.100.1.25" => "DC",
        "0.9.2342.19200300.100.1.1" => "UID",
        "1.2.840.113549.1.9.1" => "emailAddress",
        _ => return None,
    })
}

/// RFC 2253, section 2.4.
fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut text = String::with_capacity(value.len());
    for (at, char) in value.chars().enumerate() {
        let is_special = matches!(char, ',' | '+' | '"' | '\\' | '<' | '>' | ';');
        if is_special || (at == 0 && matches!(char, ' ' | '#')) || (at == last && char == ' ') {
            text.push('\\');
        }
        text.push(char);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CertificateDetails;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    #[test]
    fn names_are_as_in_rfc_2253() {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Mesh, Inc.");
        params.distinguished_name.push(DnType::CommonName, "b");
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let details = CertificateDetails::parse(certificate.der()).unwrap();
        assert_eq!(details.subject, "CN=b,O=Mesh\\, Inc.");
        assert_eq!(details.issuer, details.subject);
        for (plain, expected) in [("#a ", "\\#a\\ "), (" ", "\\ "), ("a b", "a b"), ("", "")] {
            assert_eq!(escaped(plain), expected);
        }
    }
}
