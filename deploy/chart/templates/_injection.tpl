{{/* What sidecars are made of. */}}
{{- define "mesh.injection" -}}
imagePullPolicy: {{ .Values.imagePullPolicy }}
{{- if not .Values.injection.image }}
image: {{ .Values.hub }}/proxy:{{ include "mesh.tag" . }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
- {{ .name | quote }}
{{- end }}
{{- end }}
discoveryAddress: {{ include "mesh.discovery" . }}
trustDomain: {{ .Values.trustDomain | quote }}
clusterDomain: {{ .Values.clusterDomain | quote }}
revision: {{ .Values.revision | quote }}
{{ toYaml .Values.injection }}
{{- end }}
