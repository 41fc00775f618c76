{{/* The name of what lies in the release's namespace. */}}
{{- define "trimtab.name" -}}
{{- if not (regexMatch "^[a-z][-a-z0-9]*$" .Release.Name) }}
{{- fail (printf "the release is named %q, but a Service must begin with a letter and have no dot: choose another name" .Release.Name) }}
{{- end -}}
{{ .Release.Name }}-operator
{{- end }}

{{/* The name of what lies in no namespace; single namespaces may each have an operator. */}}
{{- define "trimtab.clusterName" -}}
{{ include "trimtab.name" . }}{{ if .Values.watchNamespaces }}-{{ .Release.Namespace }}{{ end }}
{{- end }}

{{/* The labels by which the operator's pods are found; they cannot change. */}}
{{- define "trimtab.selector" -}}
app.kubernetes.io/name: trimtab
app.kubernetes.io/component: operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels that Helm's conventions ask for besides. */}}
{{- define "trimtab.release" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "trimtab.labels" -}}
{{ include "trimtab.selector" . }}
{{ include "trimtab.release" . }}
{{- end }}

{{/* Labels with those of a user besides. The argument has the root and the value that has them. */}}
{{- define "trimtab.ownLabels" -}}
{{- $labels := include "trimtab.labels" .root | fromYaml -}}
{{- range $key, $label := (index .root.Values .value).labels }}
{{- if hasKey $labels $key }}
{{- fail (printf "%s.labels has %s, which the chart sets itself" $.value $key) }}
{{- end }}
{{- $_ := set $labels $key $label }}
{{- end -}}
{{- toYaml $labels }}
{{- end }}

{{/* Labels of the test, which is not to be taken for the operator. */}}
{{- define "trimtab.testLabels" -}}
app.kubernetes.io/name: trimtab
app.kubernetes.io/component: test
app.kubernetes.io/instance: {{ .Release.Name }}
{{ include "trimtab.release" . }}
{{- end }}

{{/* An image of its parts. */}}
{{- define "trimtab.image" -}}
{{ .repository }}:{{ .tag }}{{ with .digest }}@{{ . }}{{ end }}
{{- end }}

{{/* What Pod Security asks of a pod in a restricted namespace. */}}
{{- define "trimtab.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "trimtab.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities:
  drop:
  - ALL
readOnlyRootFilesystem: true
{{- end }}
