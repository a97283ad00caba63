"""Measures all documents of an app before it is released: in manifests, .graphql files, and its sources."""

from fraiseql_guard.operations.document_audit.audit import AuditedOperation, DocumentAudit, audit_documents

__all__ = ["AuditedOperation", "DocumentAudit", "audit_documents"]
