{{/* How a monitor reads /metrics. The argument has the root and the values of the monitor. */}}
{{- define "trimtab.endpoint" -}}
{{- $metrics := .root.Values.metrics -}}
{{- if not $metrics.enabled }}
{{- fail "metrics.enabled must be set where a monitor is" }}
{{- end -}}
{{- if and .root.Values.serviceMonitor.enabled .root.Values.podMonitor.enabled }}
{{- fail "serviceMonitor.enabled and podMonitor.enabled would have the operator read twice" }}
{{- end -}}
{{- if and $metrics.clientCertificates (not $metrics.clientSecret) }}
{{- fail "metrics.clientSecret must be set where a monitor is and metrics.clientCertificates" }}
{{- end -}}
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
