{{/* The labels of an object; the argument is (list . component). */}}
{{- define "maildomain.labels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: maildomain-operator
app.kubernetes.io/component: {{ index . 1 }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/part-of: maildomain
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ $root.Chart.Name }}-{{ $root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "maildomain.selector" -}}
app.kubernetes.io/name: maildomain-operator
app.kubernetes.io/component: {{ . }}
{{- end }}

{{- define "maildomain.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }}
{{- end -}}
{{- end }}

{{- define "maildomain.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* What all Pods have in common; the argument is (list . component). */}}
{{- define "maildomain.pod" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $values := $root.Values -}}
serviceAccountName: maildomain-{{ $component }}
automountServiceAccountToken: false # the volume "api" has a token for the container that needs it
terminationGracePeriodSeconds: 30
{{- with $values.image.pullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- if kindIs "invalid" $values.topologySpreadConstraints }}
topologySpreadConstraints:
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "maildomain.selector" $component | nindent 6 }}
  matchLabelKeys: [pod-template-hash]
{{- else if $values.topologySpreadConstraints }}
topologySpreadConstraints: {{ toJson $values.topologySpreadConstraints }}
{{- end }}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "priorityClassName" }}
{{- with index $values $key }}
{{ $key }}: {{ toJson . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "maildomain.pullPolicy" -}}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{/* How the container with the API token is seen and held; the argument is (list . resources). */}}
{{- define "maildomain.tokenHolder" -}}
env:
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
ports:
- name: health
  containerPort: 8081
- name: metrics
  containerPort: 8082
livenessProbe:
  httpGet: {path: /healthz, port: health}
readinessProbe:
  httpGet: {path: /readyz, port: health}
resources: {{ toJson (index . 1) }}
securityContext:
  {{- include "maildomain.containerSecurity" (index . 0) | nindent 2 }}
{{- end }}

{{/* What it mounts. */}}
{{- define "maildomain.tokenHolderMounts" -}}
- name: api
  mountPath: /var/run/secrets/kubernetes.io/serviceaccount
  readOnly: true
{{- with .Values.metrics.certificateSecret }}
- name: metrics-certificate
  mountPath: /metrics-certificate
  readOnly: true
{{- end }}
{{- end }}

{{/* It holds private keys, so it is never on a disk. */}}
{{- define "maildomain.snapshotVolume" -}}
- name: snapshot
  emptyDir:
    medium: Memory
    sizeLimit: {{ .Values.mtaSTS.snapshotSize }}
{{- end }}

{{/* And the volumes of that. */}}
{{- define "maildomain.tokenHolderVolumes" -}}
- name: api
  projected:
    defaultMode: 0440
    sources:
    - serviceAccountToken:
        path: token
        # Not 3607: of that number an API server makes a year, unless it is told not to.
        expirationSeconds: 3600
    - configMap:
        name: kube-root-ca.crt
        items:
        - key: ca.crt
          path: ca.crt
    - downwardAPI:
        items:
        - path: namespace
          fieldRef:
            fieldPath: metadata.namespace
{{- with .Values.metrics.certificateSecret }}
- name: metrics-certificate
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- end }}

{{/* A binding of a role to the account; the argument is (list . kind namespace name component). */}}
{{- define "maildomain.binding" -}}
{{- $root := index . 0 -}}
{{- $kind := index . 1 -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata:
  name: {{ index . 3 }}
  {{- with index . 2 }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "maildomain.labels" (list $root (index . 4)) | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $kind }}
  name: {{ index . 3 }}
subjects:
- kind: ServiceAccount
  name: maildomain-{{ index . 4 }}
  namespace: {{ $root.Release.Namespace }}
{{- end }}

{{/* A generated role, as it is bound: in the whole cluster with namespace ""; the argument is (list . role namespace component). */}}
{{- define "maildomain.role" -}}
{{- $root := index . 0 -}}
{{- $role := index . 1 -}}
{{- $namespace := index . 2 -}}
{{- $kind := ternary "Role" "ClusterRole" (ne $namespace "") -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata:
  name: {{ $role.metadata.name }}
  {{- with $namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "maildomain.labels" (list $root (index . 3)) | nindent 4 }}
rules: {{ toJson $role.rules }}
---
{{ include "maildomain.binding" (list $root $kind $namespace $role.metadata.name (index . 3)) }}
{{- end }}
