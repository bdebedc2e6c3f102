//! Certificate requests that openssl makes, good and bad.

#![allow(clippy::unwrap_used, reason = "a failed test says where")]

mod common;

use common::{OpenSsl, id};
use mesh_tls::{CertificateRequest, PrivateKey, RequestError, csr};
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject as _;

const NAMED: &str = "-addext subjectAltName=critical,URI:spiffe://cluster.local/ns/shop/sa/reviews";

#[test]
fn keys_that_are_taken_and_keys_that_are_not() {
    let Some(openssl) = OpenSsl::new() else { return };
    let parse = |newkey: &str| {
        openssl.run(&format!("req -new {newkey} -nodes -keyout k.pem -out r.pem -subj / {NAMED}"));
        CertificateRequest::parse(&openssl.read("r.pem"))
    };
    for good in [
        "-newkey ec -pkeyopt ec_paramgen_curve:P-256",
        "-newkey ec -pkeyopt ec_paramgen_curve:P-384 -sha384",
        "-newkey rsa:2048",
    ] {
        let request = parse(good).unwrap();
        assert_eq!(request.uris(), [id("reviews").to_string()], "{good}");
        request.check_identity(&id("reviews")).unwrap();
    }
    for bad in [
        "-newkey rsa:1024",
        "-newkey ec -pkeyopt ec_paramgen_curve:secp256k1",
        "-newkey ec -pkeyopt ec_paramgen_curve:secp224r1",
        "-newkey ed25519",
    ] {
        assert!(matches!(parse(bad), Err(RequestError::Key(_))), "{bad}");
    }
}

#[test]
fn what_is_no_request() {
    let key = PrivateKey::generate().unwrap();
    let good = csr(&key, &id("reviews")).unwrap();
    CertificateRequest::parse(&good).unwrap();
    let no_request = good.replace("CERTIFICATE REQUEST", "CERTIFICATE");
    for bad in ["", "hello", &key.to_pem(), &no_request, &good[..good.len() / 2]] {
        assert_eq!(CertificateRequest::parse(bad).unwrap_err(), RequestError::Form);
    }
}

#[test]
fn a_request_that_was_tampered_with() {
    let Some(openssl) = OpenSsl::new() else { return };
    let key = PrivateKey::generate().unwrap();
    let good = csr(&key, &id("reviews")).unwrap();
    let mut der = CertificateSigningRequestDer::from_pem_slice(good.as_bytes()).unwrap().to_vec();
    let account = der.windows(7).position(|bytes| bytes == b"reviews").unwrap();
    der[account..account + 7].copy_from_slice(b"ratings");
    openssl.write("bad.der", der);
    openssl.run("req -inform DER -in bad.der -out bad.pem");
    let error = CertificateRequest::parse(&openssl.read("bad.pem")).unwrap_err();
    assert_eq!(error, RequestError::Signature);
}

#[test]
fn for_somebody_else() {
    let key = PrivateKey::generate().unwrap();
    let request = CertificateRequest::parse(&csr(&key, &id("reviews")).unwrap()).unwrap();
    let error = request.check_identity(&id("ratings")).unwrap_err();
    assert!(matches!(error, RequestError::Identity { .. }));
    assert!(error.to_string().contains("sa/reviews") && error.to_string().contains("sa/ratings"));

    let Some(openssl) = OpenSsl::new() else { return };
    let named = |names: &str| {
        openssl.run(&format!("req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.pem -out r.pem -subj /CN=other {names}"));
        CertificateRequest::parse(&openssl.read("r.pem")).unwrap()
    };
    named("-batch").check_identity(&id("reviews")).unwrap();
    for names in [
        format!("{NAMED},URI:spiffe://cluster.local/ns/shop/sa/ratings"),
        format!("{NAMED},DNS:ratings.shop.svc"),
        format!("{NAMED},IP:10.0.0.1"),
    ] {
        assert!(named(&names).check_identity(&id("reviews")).is_err(), "{names}");
    }
}
