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

{{/* CEL: may the writer write the past of runs? Asked of RBAC, and only where everything else fits. */}}
{{- define "apprun.cel.mayRestore" -}}
authorizer.group('apprun.dev').resource('appruns').namespace(request.namespace).check('restore').allowed()
{{- end }}

{{/* CEL: may the writer have pods run as this service account? Whoever may impersonate it has all that it has. Call with
the expression of its name. */}}
{{- define "apprun.cel.mayUse" -}}
authorizer.group('').resource('serviceaccounts').namespace(request.namespace).name({{ . }}).check('use').allowed()
  || authorizer.group('').resource('serviceaccounts').namespace(request.namespace).name({{ . }}).check('impersonate').allowed()
{{- end }}

{{/* CEL: the writer, as `kubectl create rolebinding` is told. */}}
{{- define "apprun.cel.subject" -}}
(request.userInfo.username.startsWith('system:serviceaccount:') ? '--serviceaccount='
{{- " " }}+ request.userInfo.username.substring(22) : '--user=' + request.userInfo.username)
{{- end }}

{{/* CEL: is an App written, or the app of an AppRun, that differs from the stored one? dyn, since the two have different
types. */}}
{{- define "apprun.cel.isAnotherApp" -}}
request.resource.resource == 'apps' ? request.operation == 'CREATE' || dyn(object.spec) != dyn(oldObject.spec)
  : has(dyn(object.spec).app) && (request.operation == 'CREATE' || !has(dyn(oldObject.spec).app)
    || dyn(object.spec).app != dyn(oldObject.spec).app)
{{- end }}

{{/* CEL: that app, and where it stands. */}}
{{- define "apprun.cel.app" -}}
request.resource.resource == 'apps' ? dyn(object.spec) : dyn(object.spec).app
{{- end }}

{{- define "apprun.cel.appPath" -}}
request.resource.resource == 'apps' ? 'spec' : 'spec.app'
{{- end }}

{{/* Fields of a pod that an administrator may take from tenants, by podFields.allowed. */}}
{{- define "apprun.podFields" -}}
affinity annotations dnsConfig fsGroup hostAliases labels nodeSelector priorityClassName runAsUser runtimeClassName
{{- " " }}schedulerName terminationGracePeriodSeconds tolerations topologySpreadConstraints
{{- " " }}volumes.csi volumes.ephemeral volumes.persistentVolumeClaim
{{- end }}

{{/* CEL: what an import marks its objects with: the uid of the run that they are copied from. */}}
{{- define "apprun.cel.restoredFrom" -}}
metadata.?annotations[?'apprun.dev/restored-from'].orValue('')
{{- end }}

{{/* CEL: name of the pod that the writer's token is bound to, empty for anybody who is no pod of the object's namespace. */}}
{{- define "apprun.cel.pod" -}}
request.userInfo.username.startsWith('system:serviceaccount:' + request.namespace + ':')
  && has(request.userInfo.extra)
  && 'authentication.kubernetes.io/pod-name' in request.userInfo.extra
  && size(request.userInfo.extra['authentication.kubernetes.io/pod-name']) == 1
  ? request.userInfo.extra['authentication.kubernetes.io/pod-name'][0] : ''
{{- end }}

{{/* CEL: uid of that pod. */}}
{{- define "apprun.cel.podUid" -}}
has(request.userInfo.extra)
  && 'authentication.kubernetes.io/pod-uid' in request.userInfo.extra
  && size(request.userInfo.extra['authentication.kubernetes.io/pod-uid']) == 1
  ? request.userInfo.extra['authentication.kubernetes.io/pod-uid'][0] : ''
{{- end }}

{{/* CEL: what the names of an AppTask's pods end with: the first digits of its owner's uid, so that pods of a deleted run
are told from those of a run that was made again under its name. Empty, which no pod's name ends with, where there is no
owner. Call with the owners. */}}
{{- define "apprun.cel.incarnation" -}}
size({{ . }}) > 0 && size({{ . }}[0].uid) >= 8 ? {{ . }}[0].uid.substring(0, 8) : ''
{{- end }}

{{/* CEL: is everything unchanged that a write to the main resource can change? */}}
{{- define "apprun.cel.unchanged" -}}
object.spec == oldObject.spec
{{- range list "labels" "annotations" "ownerReferences" "finalizers" }}
  && object.metadata.?{{ . }} == oldObject.metadata.?{{ . }}
{{- end }}
{{- end }}

{{/* What cluster-scoped objects are called whose names are fixed: those of an operator that serves a list of namespaces
carry its own, since there may be others. Call with (dict "name" … "root" $) */}}
{{- define "apprun.clusterScoped" -}}
{{- if .root.Values.namespaces -}}
{{ printf "%s-%s-%s" .root.Release.Namespace (include "apprun.fullname" .root) .name }}
{{- else -}}
{{ printf "apprun-%s" .name }}
{{- end -}}
{{- end }}

{{/* A binding without parameters: the policy holds wherever the operator serves. Call with (dict "name" … "root" $) */}}
{{- define "apprun.policyBinding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ include "apprun.clusterScoped" . }}
  labels:
    {{- include "apprun.labels" .root | nindent 4 }}
spec:
  policyName: {{ include "apprun.clusterScoped" . }}
  validationActions: [Deny]
  {{- with .root.Values.namespaces }}
  matchResources:
    namespaceSelector:
      matchExpressions:
        - key: kubernetes.io/metadata.name
          operator: In
          values:
            {{- toYaml . | nindent 12 }}
  {{- end }}
{{- end }}

{{/* What a driver and what a task pod may: the same in a ClusterRole and in a Role. */}}
{{- define "apprun.driverRules" -}}
- apiGroups: [apprun.dev]
  resources: [apptasks]
  verbs: [get, list, create]
- apiGroups: [apprun.dev]
  resources: [appruns]
  verbs: [get, watch]
- apiGroups: [apprun.dev]
  resources: [appledgers]
  verbs: [get]
- apiGroups: [apprun.dev]
  resources: [apptasks/status]
  verbs: [patch]
{{- end }}

{{- define "apprun.taskRules" -}}
- apiGroups: [apprun.dev]
  resources: [apptasks/status]
  verbs: [patch]
{{- end }}

{{/* Handlers start and read runs for their callers, once the API server has said that the caller may. */}}
{{- define "apprun.handlerRules" -}}
- apiGroups: [apprun.dev]
  resources: [apps]
  verbs: [get]
- apiGroups: [apprun.dev]
  resources: [appruns]
  verbs: [get, create, patch]
- apiGroups: [authorization.k8s.io]
  resources: [localsubjectaccessreviews]
  verbs: [create]
{{- end }}

{{/* What the operator may do in each namespace that it serves. It reads no Secrets and no ConfigMaps. */}}
{{- define "apprun.operatorRules" -}}
- apiGroups: [apprun.dev]
  resources: [apps]
  verbs: [list, watch]
# create: a run that continues as a new one. patch: the annotation that says under which uid a run
# began, and nothing else (policy-run-marks). delete: a finished run is deleted when its retention
# is over.
- apiGroups: [apprun.dev]
  resources: [appruns]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apprun.dev]
  resources: [apps/status, appruns/status, apptasks/status]
  verbs: [patch]
# delete: an inspection of an App, once the App's status has its result.
- apiGroups: [apprun.dev]
  resources: [apptasks]
  verbs: [get, list, watch, create, delete]
- apiGroups: [apprun.dev]
  resources: [appledgers]
  verbs: [get, list, watch, create]
# The handler of an App: created by server-side apply, which is a patch that may create. get: to
# check the owner before it is applied or deleted.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, create, patch, delete]
# The state of apps, written when a task has succeeded.
- apiGroups: [apprun.dev]
  resources: [appstates]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, delete]
# Warm pods: their inboxes. The operator hands get and watch on, to the account of each pool for its
# own inboxes.
- apiGroups: [apprun.dev]
  resources: [appworkers]
  verbs: [get, list, watch, create, delete]
- apiGroups: [apprun.dev]
  resources: [appworkers/status]
  verbs: [patch]
# The account of each App with warm pods, and a role for each pool. Kubernetes lets the operator put
# into a role, and bind, no more than what it may do itself.
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [create]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles]
  verbs: [create, patch]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [rolebindings]
  verbs: [create]
# One Event per run and reason when it stalls or fails; get: to count a repeated one. list: only the
# kubelet's Event says why a pod whose Secret is missing doesn't start.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [get, list, create, patch]
{{- end }}

{{/* The operator as the subject of a binding. */}}
{{- define "apprun.operatorSubject" -}}
- kind: ServiceAccount
  name: {{ include "apprun.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{/* Whether objects of monitoring.coreos.com can be had: "true" or nothing. */}}
{{- define "apprun.canMonitor" -}}
{{- if or (eq .Values.metrics.renderMode "alwaysRender") (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1") -}}
true
{{- end -}}
{{- end }}

{{- define "apprun.testLabels" -}}
app.kubernetes.io/name: {{ include "apprun.name" . }}-test
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: apprun
{{- end }}

{{/* Call with the hook's weight: what the pod needs is there before it. */}}
{{- define "apprun.testHook" -}}
helm.sh/hook: test
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
