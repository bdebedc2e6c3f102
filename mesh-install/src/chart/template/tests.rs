use serde_json::json;

use super::*;

fn one(template: &str) -> Result<String, TemplateError> {
    let root = json!({"Values": {
        "name": "a", "on": true, "off": false, "none": null, "empty": {}, "number": 3,
        "list": [{"x": 1}, {"x": 2}], "map": {"b": {"c": "d"}},
    }});
    let helpers = "{{ define \"hello\" -}}\nhello {{ .Values.name }}\n{{- end }}";
    let files = [("templates/_helpers.tpl", helpers), ("templates/a.yaml", template)];
    Ok(render(&files, &root)?.remove(0).1)
}

#[test]
fn each_construct_does_what_go_does() {
    for (template, expected) in [
        ("{{ .Values.name }}{{ $.Values.number }}", "a3"),
        ("{{ if .Values.off }}1{{ else if .Values.empty }}2{{ else }}3{{ end }}", "3"),
        ("{{ if and .Values.on (eq .Values.name \"b\" \"a\") }}1{{ end }}", "1"),
        ("{{ if or .Values.off (not .Values.none) }}1{{ end }}", "1"),
        ("{{ with .Values.map.b }}{{ .c }}{{ $.Values.name }}{{ end }}", "da"),
        ("{{ with .Values.none }}1{{ else }}{{ .Values.name }}{{ end }}", "a"),
        ("{{ range .Values.list }}-{{ .x }}{{ end }}", "-1-2"),
        ("{{ range .Values.none }}1{{ else }}2{{ end }}", "2"),
        ("{{ .Values.none | default \"x\" | quote }}", "\"x\""),
        ("{{ include \"hello\" . | indent 2 }}", "  hello a"),
        ("m:{{ toYaml .Values.map | nindent 2 }}", "m:\n  b:\n    c: d"),
        ("{{ .Values.missing | default 5 }}", "5"),
        (
            "{{ .Values.name | sha256sum }}",
            "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
        ),
        ("a\n{{- if .Values.on }}\nb\n{{- end }}\nc", "a\nb\nc"),
    ] {
        assert_eq!(one(template).as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn an_error_names_file_line_and_what_is_wrong() {
    for (template, line, expected) in [
        ("a\n{{ .Values.missing }}", 2, "no such value"),
        ("{{ .Values.name.x }}", 1, "asked for \"x\""),
        ("\n{{ .Values.list }}", 2, "toYaml"),
        ("{{ tpl .Values.name . }}", 1, "no function \"tpl\""),
        ("{{ if .Values.on }}", 1, "this if has no end"),
        ("{{ range .Values.map }}{{ end }}", 1, "lists only"),
        ("\n{{ end }}", 2, "ends nothing"),
        ("{{ (.Values.name }}", 1, "parentheses"),
        ("{{ include \"nobody\" . }}", 1, "nothing defines"),
        (
            "{{ define \"x\" }}{{ include \"x\" . }}{{ end }}{{ include \"x\" . }}",
            1,
            "includes itself",
        ),
    ] {
        let error = one(template).unwrap_err();
        assert_eq!((error.place.file.as_str(), error.place.line), ("templates/a.yaml", line));
        assert!(error.message.contains(expected), "{template}: {error}");
    }
}
