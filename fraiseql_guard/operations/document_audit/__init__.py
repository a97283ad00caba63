"""Measures all documents of an app before it is released: in manifests, .graphql files, and its sources."""

from fraiseql_guard.operations.document_audit.audit import UNREADABLE, AuditedOperation, DocumentAudit, audit_documents
from fraiseql_guard.operations.document_audit.source_files import AppOperations, operations_in

__all__ = ["UNREADABLE", "AppOperations", "AuditedOperation", "DocumentAudit", "audit_documents", "operations_in"]
