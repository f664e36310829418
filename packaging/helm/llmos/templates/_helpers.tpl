{{- define "llmos.name" -}}
{{- if contains "llmos" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-llmos" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "llmos.selector" -}}
app.kubernetes.io/name: llmos
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "llmos.labels" -}}
{{ include "llmos.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "llmos.claim" -}}
{{ .Values.persistence.existingClaim | default (printf "%s-home" (include "llmos.name" .)) }}
{{- end }}

{{- define "llmos.image" -}}
image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{- define "llmos.scheme" -}}
{{ if eq .Values.tls.mode "off" }}HTTP{{ else }}HTTPS{{ end }}
{{- end }}

{{- define "llmos.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "llmos.container" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "llmos.environment" -}}
- {name: LLMOS_HOME, value: /var/lib/llmos/home}
- {name: LLMOS_LOG, value: json}
{{- if .Values.database.existingSecret }}
- name: LLMOS_DATABASE_URL
  valueFrom: {secretKeyRef: {name: {{ .Values.database.existingSecret }}, key: {{ .Values.database.key }}}}
{{- end }}
{{- if .Values.keys.existingSecret }}
- name: LLMOS_OWNER_KEY
  valueFrom: {secretKeyRef: {name: {{ .Values.keys.existingSecret }}, key: owner-key}}
- name: LLMOS_MASTER_KEY
  valueFrom: {secretKeyRef: {name: {{ .Values.keys.existingSecret }}, key: master-key}}
{{- end }}
{{- if eq .Values.tls.mode "off" }}
- {name: LLMOS_ALLOW_INSECURE_NETWORK, value: "on"}
{{- else if eq .Values.tls.mode "secret" }}
- {name: LLMOS_TLS_CERT, value: /etc/llmos/tls/tls.crt}
- {name: LLMOS_TLS_KEY, value: /etc/llmos/tls/tls.key}
{{- else }}
- {name: LLMOS_TLS_SELF_SIGNED, value: "on"}
{{- end }}
{{- range $name, $value := .Values.server.environment }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{- define "llmos.mounts" -}}
- {name: home, mountPath: /var/lib/llmos}
- {name: tmp, mountPath: /tmp}
{{- if eq .Values.tls.mode "secret" }}
- {name: tls, mountPath: /etc/llmos/tls, readOnly: true}
{{- end }}
{{- end }}

{{- define "llmos.volumes" -}}
- name: home
  persistentVolumeClaim: {claimName: {{ include "llmos.claim" . }}}
- name: tmp
  emptyDir: {}
{{- if eq .Values.tls.mode "secret" }}
- name: tls
  secret: {secretName: {{ .Values.tls.secretName }}}
{{- end }}
{{- end }}

{{- define "llmos.probes" -}}
startupProbe:
  httpGet: {path: /health/live, port: {{ .port }}, scheme: {{ include "llmos.scheme" .root }}}
  periodSeconds: 5
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /health/live, port: {{ .port }}, scheme: {{ include "llmos.scheme" .root }}}
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /health/ready, port: {{ .port }}, scheme: {{ include "llmos.scheme" .root }}}
  periodSeconds: 5
  timeoutSeconds: 5
{{- end }}

{{- /* Makes the authority of the nodes, once. The token that it prints is for people; nodes ask for theirs. */ -}}
{{- define "llmos.cluster" -}}
- name: cluster
  {{- include "llmos.image" .root | nindent 2 }}
  {{- include "llmos.container" .root | nindent 2 }}
  command:
    - /bin/sh
    - -ec
    - test -e "$LLMOS_HOME/cluster/cluster.json" || llmos cluster init --address {{ .address }} >/dev/null
  env: {{- include "llmos.environment" .root | nindent 4 }}
  volumeMounts: {{- include "llmos.mounts" .root | nindent 4 }}
  resources:
    requests: {cpu: 100m, memory: 256Mi}
    limits: {memory: 512Mi}
{{- end }}

{{- define "llmos.ray" -}}
{{ include "llmos.name" . }}-ray
{{- end }}

{{- define "llmos.rayEnvironment" -}}
- name: POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
- {name: RAY_USAGE_STATS_ENABLED, value: "0"}
{{- end }}

{{- define "llmos.rayMounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: ray-logs, mountPath: /tmp/ray}
- {name: shared-mem, mountPath: /dev/shm}
{{- end }}

{{- define "llmos.rayVolumes" -}}
- {name: ray-logs, emptyDir: {}}
- {name: shared-mem, emptyDir: {medium: Memory, sizeLimit: 256Mi}}
{{- end }}
