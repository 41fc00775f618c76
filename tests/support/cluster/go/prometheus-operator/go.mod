// Read for its definitions, which the chart's objects are checked against; nothing of it is built.
module trimtab.dev/tests/prometheus-operator

go 1.26.0

require github.com/prometheus-operator/prometheus-operator v0.85.0
