{{/* What every entry of the injector has in common. It fails closed: a pod that should have a
     sidecar and has none would speak in plain text, and be refused by those that have. */}}
{{- define "mesh.injector" -}}
admissionReviewVersions: [v1]
clientConfig:
  service:
    name: {{ include "mesh.pilot" . }}
    namespace: {{ .Release.Namespace }}
    path: /inject
    port: 443
rules:
- apiGroups: [""]
  apiVersions: [v1]
  operations: [CREATE]
  resources: [pods]
  scope: Namespaced
# Nobody need be asked about these, so that they can start while no pilot is there: pods that
# have their sidecar, and those that use the node's network and never get one.
matchConditions:
- name: has-no-sidecar-yet
  expression: "!has(object.metadata.annotations) || !('sidecar.mesh/status' in object.metadata.annotations)"
- name: has-a-network-of-its-own
  expression: "!has(object.spec.hostNetwork) || !object.spec.hostNetwork"
failurePolicy: Fail
matchPolicy: Equivalent
# A pod that has its sidecar is not asked about again (above). Webhooks are asked in the order of
# their names: one that adds containers with probes has to come before this one.
reinvocationPolicy: Never
sideEffects: None
timeoutSeconds: {{ .Values.webhooks.timeoutSeconds }}
{{- end }}

{{/* Never these, whatever their labels: the pilot and the cluster itself must be able to start
     while no pilot is there. */}}
{{- define "mesh.never" -}}
- key: kubernetes.io/metadata.name
  operator: NotIn
  values: [{{ .Release.Namespace }}, kube-system, kube-public, kube-node-lease]
{{- end }}

{{- define "mesh.unlabelled" -}}
- {key: mesh-injection, operator: DoesNotExist}
- {key: istio-injection, operator: DoesNotExist}
- {key: sidecar.mesh/rev, operator: DoesNotExist}
- {key: istio.io/rev, operator: DoesNotExist}
{{- end }}

{{/* A pod that says no is not even asked about, and so needs no pilot. */}}
{{- define "mesh.opt-out" -}}
- {key: sidecar.mesh/inject, operator: NotIn, values: ["false"]}
- {key: sidecar.istio.io/inject, operator: NotIn, values: ["false"]}
{{- end }}
