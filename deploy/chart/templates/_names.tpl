{{/* Ends the names of what belongs to a revision. */}}
{{- define "mesh.suffix" -}}
{{- if ne .Values.revision "default" }}-{{ .Values.revision }}{{ end }}
{{- end }}

{{- define "mesh.pilot" -}}
mesh-pilot{{ include "mesh.suffix" . }}
{{- end }}

{{/* Everything of ours has this, by which it is found again. */}}
{{- define "mesh.common-labels" -}}
app.kubernetes.io/part-of: mesh
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "mesh.labels" -}}
{{ include "mesh.common-labels" . }}
sidecar.mesh/rev: {{ .Values.revision | quote }}
{{- end }}

{{- define "mesh.tag" -}}
{{ .Values.tag | default .Chart.AppVersion }}
{{- end }}

{{/* Where sidecars and gateways ask. */}}
{{- define "mesh.discovery" -}}
{{ include "mesh.pilot" . }}.{{ .Release.Namespace }}.svc:15012
{{- end }}

{{/* By which names the pilot is found, in its certificate. */}}
{{- define "mesh.pilot-names" -}}
{{ include "mesh.pilot" . }}.{{ .Release.Namespace }}.svc,{{ include "mesh.pilot" . }}.{{ .Release.Namespace }},{{ include "mesh.pilot" . }}.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }},{{ include "mesh.pilot" . }},localhost
{{- end }}
