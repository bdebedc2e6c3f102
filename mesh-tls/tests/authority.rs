//! What the authority issues, looked at by openssl.

#![allow(clippy::unwrap_used, reason = "a failed test says where")]

mod common;

use std::time::{Duration, SystemTime};

use common::{HOUR, OpenSsl, authority, id};
use mesh_tls::{
    Authority, AuthorityError, CertificateDetails, CertificateRequest, PrivateKey, TrustBundle, csr,
};

fn request(account: &str) -> CertificateRequest {
    let key = PrivateKey::generate().unwrap();
    CertificateRequest::parse(&csr(&key, &id(account)).unwrap()).unwrap()
}

#[test]
fn openssl_verifies_a_chain_and_reads_what_spiffe_asks_for() {
    let Some(openssl) = OpenSsl::new() else { return };
    let authority = authority();
    let chain =
        authority.sign(&request("reviews"), &id("reviews"), HOUR, SystemTime::now()).unwrap();
    openssl.write("leaf.pem", &chain[0]);
    openssl.write("root.pem", chain.last().unwrap());
    assert_eq!(chain.last().unwrap(), &authority.root_pem());
    for purpose in ["sslserver", "sslclient"] {
        openssl.run(&format!("verify -x509_strict -purpose {purpose} -CAfile root.pem leaf.pem"));
    }
    let text = openssl.run("x509 -in leaf.pem -noout -text");
    for expected in [
        "Version: 3",
        "Signature Algorithm: ecdsa-with-SHA256",
        "Issuer: O = cluster.local",
        "ASN1 OID: prime256v1",
        "X509v3 Subject Alternative Name: critical\n                URI:spiffe://cluster.local/ns/shop/sa/reviews\n",
        "X509v3 Key Usage: critical\n                Digital Signature, Key Encipherment\n",
        "TLS Web Server Authentication, TLS Web Client Authentication",
        "X509v3 Basic Constraints: critical\n                CA:FALSE",
        "X509v3 Authority Key Identifier",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    let root = openssl.run("x509 -in root.pem -noout -text");
    for expected in ["CA:TRUE", "Certificate Sign, CRL Sign", "Subject: O = cluster.local"] {
        assert!(root.contains(expected), "{expected} in {root}");
    }
}

#[test]
fn a_certificate_lives_as_long_as_asked_but_not_longer_than_the_authority() {
    let now = SystemTime::now();
    let authority = Authority::create("cluster.local", 2 * HOUR, now).unwrap();
    let sign = |lifetime, at| {
        let chain = authority.sign(&request("a"), &id("a"), lifetime, at)?;
        let bundle = TrustBundle::from_pem(chain[0].as_bytes()).unwrap();
        Ok::<_, AuthorityError>(CertificateDetails::parse(&bundle.roots()[0]).unwrap())
    };
    let near = |at: SystemTime, wanted: SystemTime| {
        let distance = at.duration_since(wanted).unwrap_or_else(|error| error.duration());
        assert!(distance <= Duration::from_secs(1), "{distance:?}");
    };
    let leaf = sign(HOUR, now).unwrap();
    near(leaf.not_after, now + HOUR);
    near(leaf.not_before, now - Duration::from_secs(120));
    near(sign(24 * HOUR, now).unwrap().not_after, now + 2 * HOUR);
    assert_ne!(leaf.serial, sign(HOUR, now).unwrap().serial);
    assert!(matches!(sign(HOUR, now + 3 * HOUR), Err(AuthorityError::Expired)));
    assert!(matches!(sign(Duration::ZERO, now), Err(AuthorityError::Lifetime(_))));
}

#[test]
fn an_authority_is_kept_and_read_again() {
    let now = SystemTime::now();
    let first = authority();
    let (chain, key, root) = (first.chain_pem(), first.key_pem(), first.root_pem());
    let again = Authority::from_pem(&chain, &key, &root, now).unwrap();
    assert_eq!(again.bundle(), first.bundle());
    let other = authority();
    assert!(matches!(
        Authority::from_pem(&chain, &other.key_pem(), &root, now),
        Err(AuthorityError::Chain(_))
    ));
    assert!(matches!(
        Authority::from_pem(&chain, &key, &other.root_pem(), now),
        Err(AuthorityError::Untrusted(_))
    ));
    let serving = first.issue_serving(&id("pilot"), &["localhost".to_owned()], &[], HOUR, now);
    let serving = serving.unwrap();
    let credentials = serving.credentials();
    let no_authority =
        Authority::from_pem(&credentials.chain_pem(), &credentials.key().to_pem(), &root, now);
    assert!(matches!(no_authority, Err(AuthorityError::NotAuthority)));
    assert!(matches!(
        Authority::from_pem(&chain, &key, &root, now + 48 * HOUR),
        Err(AuthorityError::Expired)
    ));
}

#[test]
fn under_a_users_root_with_an_rsa_key_and_two_units() {
    let Some(openssl) = OpenSsl::new() else { return };
    openssl.run("req -x509 -newkey rsa:2048 -nodes -keyout root.key -out root.pem -days 30 -subj /O=Corp/OU=one/OU=two/CN=Root");
    openssl.run("genrsa -traditional -out ca.key 2048");
    openssl.run("req -new -key ca.key -out ca.csr -subj /O=Istio/CN=Intermediate/L=istiod");
    openssl.write("ca.ext", "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n");
    openssl.run("x509 -req -in ca.csr -CA root.pem -CAkey root.key -CAcreateserial -out ca.pem -days 3 -extfile ca.ext");
    let (ca, key, root) =
        (openssl.read("ca.pem"), openssl.read("ca.key"), openssl.read("root.pem"));
    let now = SystemTime::now();
    // With the root in the chain, as Istio's cert-chain.pem has it, and without.
    for chain in [format!("{ca}{root}"), ca.clone()] {
        let authority = Authority::from_pem(&chain, &key, &root, now).unwrap();
        let issued = authority.sign(&request("a"), &id("a"), 24 * 30 * HOUR, now).unwrap();
        assert_eq!(issued.len(), 3);
        openssl.write("leaf.pem", &issued[0]);
        openssl.write("between.pem", &issued[1]);
        openssl.write("top.pem", &issued[2]);
        openssl.run("verify -CAfile top.pem -untrusted between.pem leaf.pem");
        let leaf = TrustBundle::from_pem(issued[0].as_bytes()).unwrap();
        let until = CertificateDetails::parse(&leaf.roots()[0]).unwrap().not_after;
        assert!(until <= now + 73 * HOUR, "it does not outlive the intermediate");
    }
}

#[test]
fn bundles_of_roots_overlap() {
    let (old, new) = (authority().bundle(), authority().bundle());
    let both = old.merge(&new);
    assert_eq!(both.roots().len(), 2);
    assert_eq!(both.merge(&old), both);
    assert_eq!(TrustBundle::from_pem(both.to_pem().as_bytes()).unwrap(), both);
    let commented = format!("# old\n{}\n# new\n{}{}", old.to_pem(), new.to_pem(), old.to_pem());
    assert_eq!(TrustBundle::from_pem(commented.as_bytes()).unwrap(), both);
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for bad in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n", broken] {
        assert!(TrustBundle::from_pem(bad.as_bytes()).is_err(), "{bad}");
    }
    assert!(
        TrustBundle::read("/no/such/file".as_ref()).unwrap_err().to_string().contains("/no/such")
    );
}
