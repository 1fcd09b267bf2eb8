//! GET: one object, or all that a selector selects.

use std::sync::Arc;

use futures::stream;
use hyper::StatusCode;
use hyper::body::Bytes;
use jiff::Timestamp;
use serde_json::json;

use super::negotiate::Form;
use super::page::Page;
use super::{Answer, Api, Scope, list_options, respond};
use crate::server::object;
use crate::server::selector::Selector;
use crate::server::status::ApiError;
use crate::server::store::StoredObject;
use crate::server::table::{self, IncludeObject};

/// A list is sent in pieces of about this size, so that its memory does not depend on its length.
const CHUNK_BYTES: usize = 64 << 10;

impl Api {
    pub(super) fn get(&self, scope: &Scope, form: Form) -> Answer {
        let object = self
            .store
            .get(&scope.key())
            .ok_or_else(|| scope.not_found())?;
        match form {
            Form::Json => Ok(respond::json(StatusCode::OK, object.json.to_bytes())),
            Form::Metadata => Ok(respond::value(
                StatusCode::OK,
                &object::only_metadata(object.value()),
            )),
            Form::Table => {
                let table = table::render(
                    scope.resource,
                    vec![object.value()],
                    &object.revision.to_string(),
                    scope.include_object()?,
                    Timestamp::now(),
                );
                Ok(respond::value(StatusCode::OK, &table))
            }
        }
    }

    pub(super) fn list(&self, scope: &Scope, form: Form) -> Answer {
        list_options::check(&scope.options)?;
        let selector = scope.selector()?;
        let resource = scope.resource;
        let page = Page::of(&self.store, scope, &selector)?;
        match form {
            Form::Json => {
                let head = format!(
                    r#"{{"kind":"{}List","apiVersion":"{}","metadata":{},"items":["#,
                    resource.kind,
                    resource.api_version(),
                    page.metadata(),
                );
                let chunks = Chunks {
                    head,
                    objects: page.objects.into_iter(),
                    separator: b"",
                    done: false,
                };
                Ok(respond::stream(stream::iter(chunks)))
            }
            Form::Metadata => {
                let items = page
                    .objects
                    .iter()
                    .map(|object| object::only_metadata(object.value()));
                let list = json!({
                    "kind": "PartialObjectMetadataList",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": page.metadata(),
                    "items": items.collect::<Vec<_>>(),
                });
                Ok(respond::value(StatusCode::OK, &list))
            }
            Form::Table => {
                let mut table = table::render(
                    resource,
                    page.objects.iter().map(|object| object.value()).collect(),
                    &page.revision.to_string(),
                    scope.include_object()?,
                    Timestamp::now(),
                );
                table["metadata"] = page.metadata();
                Ok(respond::value(StatusCode::OK, &table))
            }
        }
    }
}

impl Scope {
    pub(super) fn selector(&self) -> Result<Selector, ApiError> {
        Selector::parse(
            self.resource,
            &self.options.label_selector,
            &self.options.field_selector,
        )
    }

    pub(super) fn include_object(&self) -> Result<IncludeObject, ApiError> {
        let given = self.options.include_object.as_deref();
        IncludeObject::parse(given).ok_or_else(|| {
            ApiError::BadRequest(format!(
                "unrecognized includeObject {:?}: supported values: \"None\", \"Metadata\", \
                 \"Object\"",
                given.unwrap_or("")
            ))
        })
    }
}

/// The body of a list, made from the stored bytes as the client takes it.
struct Chunks {
    /// What comes next before the objects: the list's head, then nothing.
    head: String,
    objects: std::vec::IntoIter<Arc<StoredObject>>,
    separator: &'static [u8],
    done: bool,
}

impl Iterator for Chunks {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.done {
            return None;
        }
        let mut chunk = std::mem::take(&mut self.head).into_bytes();
        while chunk.len() < CHUNK_BYTES {
            let Some(object) = self.objects.next() else {
                chunk.extend_from_slice(b"]}\n");
                self.done = true;
                break;
            };
            chunk.extend_from_slice(self.separator);
            object.json.write_to(&mut chunk);
            self.separator = b",";
        }
        Some(chunk.into())
    }
}
