{{- define "apprun.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "apprun.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "apprun.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "apprun.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "apprun.selectorLabels" -}}
app.kubernetes.io/name: {{ include "apprun.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "apprun.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: apprun
{{ include "apprun.selectorLabels" . }}
{{- end }}

{{- define "apprun.serviceAccountName" -}}
{{- default (include "apprun.fullname" .) .Values.serviceAccount.name }}
{{- end }}

{{/* The operator, as the API server names it in a request. */}}
{{- define "apprun.operatorUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "apprun.serviceAccountName" . }}
{{- end }}

{{/* image reference: call with (dict "image" .Values.image "default" .Chart.AppVersion) */}}
{{- define "apprun.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ default .default .image.tag }}
{{- end -}}
{{- end }}

{{/* CEL: is the writer the operator? */}}
{{- define "apprun.cel.isOperator" -}}
request.userInfo.username == '{{ include "apprun.operatorUser" . }}'
{{- end }}

{{/* CEL: is the writer the operator, or a controller of the cluster that cleans up? */}}
{{- define "apprun.cel.isTrusted" -}}
request.userInfo.username in ['{{ include "apprun.operatorUser" . }}', '{{ join "', '" .Values.admissionPolicy.controllers }}']
{{- end }}

{{/* CEL: name of the pod that the writer's token is bound to, empty for anybody who is no pod of the object's namespace. */}}
{{- define "apprun.cel.pod" -}}
request.userInfo.username.startsWith('system:serviceaccount:' + request.namespace + ':')
  && has(request.userInfo.extra)
  && 'authentication.kubernetes.io/pod-name' in request.userInfo.extra
  && size(request.userInfo.extra['authentication.kubernetes.io/pod-name']) == 1
  ? request.userInfo.extra['authentication.kubernetes.io/pod-name'][0] : ''
{{- end }}

{{/* CEL: is everything unchanged that a write to the main resource can change? */}}
{{- define "apprun.cel.unchanged" -}}
object.spec == oldObject.spec
{{- range list "labels" "annotations" "ownerReferences" "finalizers" }}
  && object.metadata.?{{ . }} == oldObject.metadata.?{{ . }}
{{- end }}
{{- end }}

{{/* A binding without parameters: the policy holds everywhere. Call with (dict "name" … "root" $) */}}
{{- define "apprun.policyBinding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ .name }}
  labels:
    {{- include "apprun.labels" .root | nindent 4 }}
spec:
  policyName: {{ .name }}
  validationActions: [Deny]
{{- end }}
