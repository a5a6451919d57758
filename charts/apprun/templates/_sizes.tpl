{{/*
Whether the JSON of a field fits into so many bytes, for fields that only the app knows the shape of: no schema can say
it, so the value's text is measured. That text is longer than JSON, since it has a space after each comma: hence half as
much again. Numbers that JSON writes as `1e308` are written out in it, in up to 316 characters that end with `.000000`:
for each such end 309 are granted, so that what the SDK takes always passes. To count them in a text of many megabytes
would cost more than an expression may, and no request is long enough for one but with such numbers. Who makes use of
that gets past the limit, and gains nothing: the operator holds the exact length. Neither an unchanged field nor an
absent one is measured.
*/}}
{{- define "apprun.cel.fits" -}}
{{- $field := regexReplaceAll "[.]([a-zA-Z]+)" .field ".?${1}" -}}
{{- $most := int (div (mul .bytes 3) 2) -}}
!object.?{{ $field }}.hasValue() || (request.operation == 'UPDATE' && object.?{{ $field }} == oldObject.?{{ $field }}) || ['%s'.format([object.{{ .field }}])].all(text, text.size() <= {{ $most }} || text.size() > 4500000 || text.size() - 309 * (text.split('.000000').size() - 1) <= {{ $most }})
{{- end -}}
