"""Checks real answers against an OpenAPI 3.1 description: as much of JSON Schema as
the description uses, and an error for a keyword that is not known here."""

import json
import re

KNOWN = {"type", "properties", "required", "additionalProperties", "items", "enum", "minimum",
         "maximum", "minLength", "maxLength", "pattern", "minItems", "maxItems", "anyOf", "$ref"}
SAY_NOTHING = {"description", "format", "default", "contentEncoding", "contentMediaType"}

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


def is_type(value, name):
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if name == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])


class Description:
    def __init__(self, text):
        self.root = json.loads(text)
        self.used = set()

    def resolve(self, node):
        while "$ref" in node:
            at = self.root
            for part in node["$ref"].lstrip("#/").split("/"):
                at = at[part]
            node = at
        return node

    def faults(self, value, schema, where="answer"):
        """What is wrong with a value, as sentences."""
        unknown = set(schema) - KNOWN - SAY_NOTHING
        assert not unknown, (where, unknown)
        schema = self.resolve(schema)
        if "anyOf" in schema:
            tries = [self.faults(value, s, where) for s in schema["anyOf"]]
            return [] if [] in tries else ["%s fits none of anyOf: %s" % (where, tries)]
        found = []
        types = schema.get("type", [])
        types = [types] if isinstance(types, str) else types
        if types and not any(is_type(value, t) for t in types):
            return ["%s is %r, not %s" % (where, value, types)]
        if "enum" in schema and value not in schema["enum"]:
            found.append("%s is %r, not one of %s" % (where, value, schema["enum"]))
        if isinstance(value, dict):
            found += self.object_faults(value, schema, where)
        elif isinstance(value, list):
            if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 1 << 60):
                found.append("%s has %d items" % (where, len(value)))
            for i, item in enumerate(value):
                found += self.faults(item, schema.get("items", {}), "%s[%d]" % (where, i))
        elif isinstance(value, str):
            if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 1 << 60):
                found.append("%s has %d characters" % (where, len(value)))
            if not re.search(schema.get("pattern", ""), value):
                found.append("%s is %r, not as %s" % (where, value, schema["pattern"]))
        elif is_type(value, "number"):
            if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
                found.append("%s is %r" % (where, value))
        return found

    def object_faults(self, value, schema, where):
        known = schema.get("properties", {})
        found = ["%s has no %s" % (where, key) for key in schema.get("required", [])
                 if key not in value]
        for key, item in value.items():
            if key in known:
                found += self.faults(item, known[key], "%s.%s" % (where, key))
            elif schema.get("additionalProperties") is False:
                found.append("%s has %s, which is not described" % (where, key))
        return found

    def operations(self):
        return {(method.upper(), path) for path, item in self.root["paths"].items()
                for method in item}

    def operation(self, method, path):
        """(path as described, operation) for a request, or None."""
        method = "GET" if method == "HEAD" else method
        path = path.split("?")[0]
        for template, item in self.root["paths"].items():
            pattern = re.sub(r"\\\{\w+\\\}", r"[^/]+", re.escape(template))
            if re.fullmatch(pattern, path) and method.lower() in item:
                return template, item[method.lower()]
        return None

    def check(self, method, path, status, content_type, body):
        """What an answer does that is not described; notes the operation as used."""
        found = self.operation(method, path)
        if not found:
            return [] if status in (403, 404, 405) else ["%s %s is not described" % (method, path)]
        template, operation = found
        if str(status) not in operation["responses"]:
            return ["%s %s does not describe %d" % (method, template, status)]
        if status < 400:
            self.used.add(("GET" if method == "HEAD" else method, template))
        content = self.resolve(operation["responses"][str(status)]).get("content", {})
        kind = (content_type or "").split(";")[0]
        if not content:
            return ["%s %s has a body with %d" % (method, template, status)] if body else []
        wild = kind.split("/")[0] + "/*"
        if kind not in content and wild not in content:
            return ["%s %s answers %r with %d" % (method, template, kind, status)]
        schema = content.get(kind, content.get(wild)).get("schema")
        if kind != "application/json" or not schema or method == "HEAD":
            return []
        return self.faults(json.loads(body), schema)
