{{- define "apertura.labels" -}}
app.kubernetes.io/name: apertura
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{/* What all pods share: not root, no token of the cluster, no variables of other services (APERTURA_..., PREFECT_...) */}}
{{- define "apertura.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  fsGroup: 1000
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "apertura.locked" -}}
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities: { drop: [ALL] }
{{- end }}

{{/* A container of our image: its secrets come from files, and tini reaps what its programs leave. */}}
{{- define "apertura.container" -}}
{{- $root := .root -}}
name: {{ .name | default .part }}
image: "{{ $root.Values.image.repository }}:{{ $root.Values.image.tag }}"
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
command: [tini, --, python, -m, flows.with_secrets]
args: {{ toJson .args }}
securityContext:
  runAsUser: 1000
  runAsGroup: 1000
  {{- include "apertura.locked" . | nindent 2 }}
resources: {{ toJson (get $root.Values.resources .part) }}
env:
  - { name: PREFECT_API_URL, value: "http://{{ $root.Release.Name }}-server:4200/api" }
  - { name: PREFECT_API_AUTH_STRING_FILE, value: /run/secrets/apertura/auth-string }
  - { name: PREFECT_SERVER_ANALYTICS_ENABLED, value: "false" }
  - { name: DO_NOT_TRACK, value: "1" }
  - { name: PREFECT_WORKER_QUERY_SECONDS, value: "1" }
  - { name: APERTURA_SITE, value: /etc/apertura/site.yaml }
  {{- range $name, $value := .env }}
  - { name: {{ $name }}, value: {{ quote $value }} }
  {{- end }}
volumeMounts:
  - { name: tmp, mountPath: /tmp }
  - { name: home, mountPath: /home/apertura }
  - { name: secrets, mountPath: /run/secrets/apertura, readOnly: true }
  - { name: site, mountPath: /etc/apertura/site.yaml, subPath: site.yaml, readOnly: true }
  {{- range .mounts }}
  - {{ toJson . }}
  {{- end }}
{{- end }}

{{/* Volumes of pods of our image; `files` are the secrets that it may read. */}}
{{- define "apertura.volumes" -}}
- { name: tmp, emptyDir: {} }
- { name: home, emptyDir: {} }
- name: secrets
  secret:
    secretName: {{ .root.Values.secrets.services }}
    defaultMode: 288 # 0440
    items:
      {{- range .files }}
      - { key: {{ . }}, path: {{ . }} }
      {{- end }}
- name: site
  configMap: { name: {{ .root.Release.Name }}-site }
{{- end }}

{{- define "apertura.data" -}}
- name: incoming
  persistentVolumeClaim: { claimName: {{ .Values.claims.incoming }}, readOnly: true }
- name: runs
  persistentVolumeClaim: { claimName: {{ .Values.claims.runs }} }
{{- end }}

{{- define "apertura.ledger" -}}
- name: ledger
  persistentVolumeClaim: { claimName: {{ .Release.Name }}-ledger }
{{- end }}

{{/* Where the server is: SQLite is shared within one machine only. */}}
{{- define "apertura.beside" -}}
affinity:
  podAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels: {{- include "apertura.labels" (dict "root" . "part" "server") | nindent 12 }}
{{- end }}

{{- define "apertura.server-environment" -}}
PREFECT_SERVER_API_AUTH_STRING_FILE: /run/secrets/apertura/auth-string
PREFECT_SERVER_CORS_ALLOWED_ORIGINS: "https://{{ .Values.host }}"
PREFECT_SERVER_API_HOST: 0.0.0.0
PREFECT_SERVER_UI_API_URL: /api
PREFECT_SERVER_UI_STATIC_DIRECTORY: /home/apertura/ui
PREFECT_UI_URL: "https://{{ .Values.host }}"
PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT: "false"
PREFECT_SERVER_METRICS_ENABLED: "true"
APERTURA_HOSTS: "{{ .Values.host }},{{ .Release.Name }}-server"
PREFECT_SERVER_DATABASE_DRIVER: postgresql+asyncpg
PREFECT_SERVER_DATABASE_HOST: {{ .Values.database.host }}
PREFECT_SERVER_DATABASE_PORT: {{ quote .Values.database.port }}
PREFECT_SERVER_DATABASE_USER: {{ .Values.database.user }}
PREFECT_SERVER_DATABASE_NAME: {{ .Values.database.name }}
PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT: "60"
PREFECT_SERVER_DATABASE_PASSWORD_FILE: /run/secrets/apertura/database-password
PREFECT_SERVER_ENCRYPTION_KEY_FILE: /run/secrets/apertura/encryption-key
PREFECT_MESSAGING_BROKER: prefect_redis.messaging
PREFECT_MESSAGING_CACHE: prefect_redis.messaging
PREFECT_SERVER_EVENTS_CAUSAL_ORDERING: prefect_redis.ordering
PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE: prefect_redis.lease_storage
PREFECT_REDIS_MESSAGING_URL: {{ .Values.redis.messaging }}
PREFECT_SERVER_DOCKET_URL: {{ .Values.redis.docket }}
{{- end }}

{{/* A Deployment of one pod that is stopped before the next one starts: nothing here may be there twice. */}}
{{- define "apertura.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .root.Release.Name }}-{{ .part }}
  labels: {{- include "apertura.labels" . | nindent 4 }}
spec:
  replicas: {{ .replicas | default 1 }}
  strategy: { type: Recreate }
  selector:
    matchLabels: {{- include "apertura.labels" . | nindent 6 }}
{{- end }}

{{/* Site file and templates are read at the start: a change of them starts the pods anew. */}}
{{- define "apertura.metadata" -}}
metadata:
  labels: {{- include "apertura.labels" . | nindent 4 }}
  annotations: { apertura/site: {{ sha256sum (toJson (list .root.Values.site .root.Values.instruments)) }} }
{{- end }}
