//! `tls` of a `DestinationRule`: how clients encrypt.

use mesh_model::{ClientTls, OwnTls, ServerCheck};

use super::Findings;
use super::destination_rule::Tls;

/// The roots of the system, in Istio's word.
const SYSTEM: &str = "system";

/// What the `tls` of the policy at `path` means; `None`: it says nothing. Fields that the
/// mode makes nothing of pass, as they do in Istio.
pub(super) fn of(findings: &mut Findings<'_>, path: &str, tls: Option<&Tls>) -> Option<ClientTls> {
    let tls = tls?;
    let path = format!("{path}.tls");
    match tls.mode.as_deref() {
        None | Some("DISABLE") => Some(ClientTls::Disable),
        Some("ISTIO_MUTUAL") => Some(mesh(findings, &path, tls)),
        Some("SIMPLE") => Some(ClientTls::Own(OwnTls {
            sni: tls.sni.clone(),
            check: check(findings, &path, tls),
            certificate: None,
        })),
        Some("MUTUAL") => Some(ClientTls::Own(OwnTls {
            sni: tls.sni.clone(),
            check: check(findings, &path, tls),
            certificate: certificate(findings, &path, tls),
        })),
        Some(other) => {
            let message = format!(
                "\"{other}\" is no mode; there are DISABLE, SIMPLE, MUTUAL and ISTIO_MUTUAL"
            );
            findings.add(format!("{path}.mode"), message);
            None
        }
    }
}

fn mesh(findings: &mut Findings<'_>, path: &str, tls: &Tls) -> ClientTls {
    for (field, value) in [
        ("clientCertificate", &tls.client_certificate),
        ("privateKey", &tls.private_key),
        ("caCertificates", &tls.ca_certificates),
    ] {
        if value.is_some() {
            let message = "ISTIO_MUTUAL uses the mesh's own certificates; take it out, or write \
                           MUTUAL";
            findings.add(format!("{path}.{field}"), message);
        }
    }
    ClientTls::Mesh { sni: tls.sni.clone(), subject_alt_names: tls.subject_alt_names.clone() }
}

fn check(findings: &mut Findings<'_>, path: &str, tls: &Tls) -> ServerCheck {
    if tls.insecure_skip_verify != Some(true) {
        let roots = tls.ca_certificates.clone().filter(|roots| roots != SYSTEM);
        return ServerCheck::Signed { roots, subject_alt_names: tls.subject_alt_names.clone() };
    }
    if tls.ca_certificates.is_some() || !tls.subject_alt_names.is_empty() {
        let message = "it excludes caCertificates and subjectAltNames: nothing would look at them";
        findings.add(format!("{path}.insecureSkipVerify"), message);
    }
    ServerCheck::Nothing
}

fn certificate(findings: &mut Findings<'_>, path: &str, tls: &Tls) -> Option<(String, String)> {
    for (field, value) in
        [("clientCertificate", &tls.client_certificate), ("privateKey", &tls.private_key)]
    {
        if value.is_none() {
            let message = "it is missing; MUTUAL needs the path of a file in the client's sidecar";
            findings.add(format!("{path}.{field}"), message);
        }
    }
    tls.client_certificate.clone().zip(tls.private_key.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Meaning, Problem, Surroundings, parse};

    fn tls(tls: &str) -> Result<Option<ClientTls>, Vec<Problem>> {
        let text = format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: a}}\n\
             spec: {{host: a, trafficPolicy: {{tls: {{{tls}}}}}}}\n"
        );
        let rules = parse("x.yaml", &text, Surroundings::default())?;
        let Meaning::Policy(policy) = &rules[0].meaning else { panic!("{rules:?}") };
        Ok(policy.settings.tls.clone())
    }

    fn own(tls: OwnTls) -> Option<ClientTls> {
        Some(ClientTls::Own(tls))
    }

    #[test]
    fn each_mode() {
        let signed = |roots: Option<&str>, names: &[&str]| ServerCheck::Signed {
            roots: roots.map(str::to_owned),
            subject_alt_names: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        for (text, expected) in [
            ("", Some(ClientTls::Disable)),
            ("mode: DISABLE, sni: ignored", Some(ClientTls::Disable)),
            (
                "mode: ISTIO_MUTUAL, sni: a, subjectAltNames: [b]",
                Some(ClientTls::Mesh {
                    sni: Some("a".into()),
                    subject_alt_names: vec!["b".into()],
                }),
            ),
            (
                "mode: SIMPLE, caCertificates: system",
                own(OwnTls { sni: None, check: signed(None, &[]), certificate: None }),
            ),
            (
                "mode: SIMPLE, insecureSkipVerify: true",
                own(OwnTls { sni: None, check: ServerCheck::Nothing, certificate: None }),
            ),
            (
                "mode: MUTUAL, caCertificates: /r, clientCertificate: /c, privateKey: /k, \
                 subjectAltNames: [b], sni: a",
                own(OwnTls {
                    sni: Some("a".into()),
                    check: signed(Some("/r"), &["b"]),
                    certificate: Some(("/c".into(), "/k".into())),
                }),
            ),
        ] {
            assert_eq!(tls(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn names_what_is_wrong() {
        for (text, field, message) in [
            ("mode: simple", "mode", "there are DISABLE, SIMPLE, MUTUAL and ISTIO_MUTUAL"),
            ("mode: MUTUAL, privateKey: /k", "clientCertificate", "it is missing"),
            ("mode: ISTIO_MUTUAL, privateKey: /k", "privateKey", "the mesh's own certificates"),
            ("mode: SIMPLE, credentialName: x", "credentialName", "not supported yet"),
            (
                "mode: SIMPLE, insecureSkipVerify: true, caCertificates: /r",
                "insecureSkipVerify",
                "it excludes caCertificates",
            ),
        ] {
            let problem = tls(text).expect_err(text)[0].to_string();
            let expected = format!("x.yaml: spec.trafficPolicy.tls.{field}: ");
            assert!(problem.starts_with(&expected), "{text}: {problem}");
            assert!(problem.contains(message), "{text}: {problem}");
        }
    }
}
