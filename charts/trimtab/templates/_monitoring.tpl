{{/* Refuses values of metrics that go against each other, or that would do nothing. */}}
{{- define "trimtab.checkMetrics" -}}
{{- $metrics := .Values.metrics -}}
{{- $isMonitored := or .Values.serviceMonitor.enabled .Values.podMonitor.enabled -}}
{{- if not $metrics.enabled }}
{{- if $isMonitored }}
{{- fail "metrics.enabled must be set where a monitor is" }}
{{- end }}
{{- if .Values.prometheusRule.enabled }}
{{- fail "metrics.enabled must be set where prometheusRule.enabled is" }}
{{- end }}
{{- range $name := list "tlsSecret" "clientCertificates" }}
{{- if index $metrics $name }}
{{- fail (printf "metrics.enabled must be set where metrics.%s is" $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled }}
{{- fail "serviceMonitor.enabled and podMonitor.enabled would have the operator read twice" }}
{{- end }}
{{- range $name := list "clientCertificates" "serverName" "clientSecret" }}
{{- if and (index $metrics $name) (not $metrics.tlsSecret) }}
{{- fail (printf "metrics.tlsSecret must be set where metrics.%s is" $name) }}
{{- end }}
{{- end }}
{{- range $name := list "serverName" "clientSecret" }}
{{- if and (index $metrics $name) (not $isMonitored) }}
{{- fail (printf "serviceMonitor.enabled or podMonitor.enabled must be set where metrics.%s is, which only a monitor reads" $name) }}
{{- end }}
{{- end }}
{{- if and $isMonitored $metrics.clientCertificates (not $metrics.clientSecret) }}
{{- fail "metrics.clientSecret must be set where a monitor is and metrics.clientCertificates" }}
{{- end }}
{{- end }}

{{/* How a monitor reads /metrics. The argument has the root and the values of the monitor. */}}
{{- define "trimtab.endpoint" -}}
{{- $metrics := .root.Values.metrics -}}
- port: metrics
  path: /metrics
  interval: {{ .monitor.interval }}
  {{- if $metrics.tlsSecret }}
  scheme: https
  tlsConfig:
    serverName: {{ $metrics.serverName | default (printf "%s.%s.svc" (include "trimtab.name" .root) .root.Release.Namespace) }}
    ca:
      secret:
        name: {{ $metrics.tlsSecret }}
        key: ca.crt
    {{- with $metrics.clientSecret }}
    cert:
      secret:
        name: {{ . }}
        key: tls.crt
    keySecret:
      name: {{ . }}
      key: tls.key
    {{- end }}
  {{- end }}
{{- end }}
