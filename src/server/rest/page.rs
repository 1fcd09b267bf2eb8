//! Which objects a list answers with: of which moment, and which part of them.
//!
//! A list can be taken in pages. The first one's `continue` token names its revision and its last
//! object, and the pages that follow show the objects as they were at that revision, out of the
//! store's history. Once the history has forgotten that, the answer is 410 with a token that goes on
//! with the objects as they are: complete for whoever can live with a list of no one moment.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Scope;
use crate::server::request::{Options, VersionMatch};
use crate::server::selector::Selector;
use crate::server::status::ApiError;
use crate::server::store::{Store, StoredObject};

/// What a list answers with.
pub struct Page {
    pub objects: Vec<Arc<StoredObject>>,
    pub revision: u64,
    /// Where the next page begins; `None` at the end.
    next: Option<Token>,
    /// How many objects come after this page, where that is known without looking at each.
    remaining: Option<usize>,
}

/// What a `continue` parameter says. Opaque to clients.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
struct Token {
    /// The revision of the list; 0 for whatever is there.
    rv: u64,
    /// The last object sent, as the store's key without the resource.
    after: String,
}

impl Token {
    fn encode(&self) -> String {
        // Two plain fields are always JSON.
        let json = serde_json::to_vec(self).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(json)
    }

    fn decode(text: &str) -> Result<Token, ApiError> {
        URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|json| serde_json::from_slice(&json).ok())
            .ok_or_else(|| {
                ApiError::BadRequest(
                    "continue key is not valid: it is not one that this server has given".into(),
                )
            })
    }
}

/// The moment a list is about.
#[derive(Debug, PartialEq, Eq)]
enum Moment {
    Now,
    /// Now, unless that is before the given revision.
    NotBefore(u64),
    Exactly(u64),
}

impl Page {
    pub fn of(store: &Store, scope: &Scope, selector: &Selector) -> Result<Page, ApiError> {
        let resource = scope.resource;
        let token = scope.options.continue_token.as_deref();
        let token = token.map(Token::decode).transpose()?;
        let prefix = resource.prefix(scope.namespace.as_deref());
        let found = match moment(&scope.options, token.as_ref())? {
            Moment::Now => Ok(store.list(&prefix)),
            Moment::NotBefore(least) => {
                let found = store.list(&prefix);
                match found.1 >= least {
                    true => Ok(found),
                    false => Err(ApiError::VersionTooLarge {
                        asked: least,
                        current: found.1,
                    }),
                }
            }
            Moment::Exactly(at) => store
                .list_at(resource, &prefix, at)
                .map(|objects| (objects, at)),
        };
        let (objects, revision) = match (found, &token) {
            (Err(ApiError::Expired { .. }), Some(token)) => {
                let from_now = Token {
                    rv: 0,
                    after: token.after.clone(),
                };
                return Err(ApiError::ContinueExpired {
                    token: from_now.encode(),
                });
            }
            (found, _) => found?,
        };
        let after = token.map(|token| format!("{}/{}", resource.plural, token.after));
        let selected = objects
            .into_iter()
            .filter(|object| after.as_deref().is_none_or(|after| *object.key > *after))
            .filter(|object| selector.matches(object))
            .collect();
        let mut page = Page::cut(selected, revision, scope.options.limit, resource.plural);
        if !scope.options.label_selector.is_empty() || !scope.options.field_selector.is_empty() {
            // As Kubernetes, which would have to look at each.
            page.remaining = None;
        }
        Ok(page)
    }

    fn cut(
        mut objects: Vec<Arc<StoredObject>>,
        revision: u64,
        limit: Option<usize>,
        plural: &str,
    ) -> Page {
        let kept = limit.unwrap_or(objects.len()).min(objects.len());
        let remaining = objects.len() - kept;
        objects.truncate(kept);
        let last = objects.last().filter(|_| remaining > 0);
        let next = last.map(|last| Token {
            rv: revision,
            after: last.key[plural.len() + 1..].to_owned(),
        });
        Page {
            objects,
            revision,
            next,
            remaining: (remaining > 0).then_some(remaining),
        }
    }

    /// `meta/v1 ListMeta`.
    pub fn metadata(&self) -> Value {
        let mut metadata = json!({"resourceVersion": self.revision.to_string()});
        if let Some(next) = &self.next {
            metadata["continue"] = next.encode().into();
        }
        if let Some(remaining) = self.remaining {
            metadata["remainingItemCount"] = remaining.into();
        }
        metadata
    }
}

/// What `resourceVersion`, `resourceVersionMatch`, `limit` and `continue` mean together. The second has
/// been [checked](super::list_options).
fn moment(options: &Options, token: Option<&Token>) -> Result<Moment, ApiError> {
    let version = options.resource_version;
    match (token, options.version_match) {
        (Some(_), _) if version.is_some_and(|version| version > 0) => Err(ApiError::BadRequest(
            "specifying resource version is not allowed when using continue".into(),
        )),
        (Some(Token { rv: 0, .. }), _) => Ok(Moment::Now),
        (Some(token), _) => Ok(Moment::Exactly(token.rv)),
        (None, Some(VersionMatch::Exact)) => Ok(Moment::Exactly(version.unwrap_or(0))),
        // What clients meant before they could say so.
        (None, None) if options.limit.is_some() => match version {
            Some(version) if version > 0 => Ok(Moment::Exactly(version)),
            _ => Ok(Moment::Now),
        },
        (None, None | Some(VersionMatch::NotOlderThan)) => {
            Ok(version.map_or(Moment::Now, Moment::NotBefore))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Result<Moment, String> {
        let options = Options::parse(query).unwrap();
        let token = options.continue_token.as_deref().map(Token::decode);
        let token = token.transpose().map_err(|error| error.to_string())?;
        moment(&options, token.as_ref()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_moment_of_a_list() {
        let token = |rv| {
            Token {
                rv,
                after: "default/web".into(),
            }
            .encode()
        };
        for (query, expected) in [
            (String::new(), Moment::Now),
            ("resourceVersion=0&limit=5".into(), Moment::Now),
            ("resourceVersion=7".into(), Moment::NotBefore(7)),
            ("resourceVersion=7&limit=5".into(), Moment::Exactly(7)),
            (
                "resourceVersion=7&limit=5&resourceVersionMatch=NotOlderThan".into(),
                Moment::NotBefore(7),
            ),
            (
                "resourceVersion=7&resourceVersionMatch=Exact".into(),
                Moment::Exactly(7),
            ),
            (format!("continue={}", token(7)), Moment::Exactly(7)),
            (format!("continue={}", token(0)), Moment::Now),
        ] {
            assert_eq!(of(&query), Ok(expected), "{query}");
        }
        for (query, why) in [
            ("continue=nonsense".into(), "continue key is not valid"),
            (
                format!("resourceVersion=7&continue={}", token(7)),
                "not allowed when using continue",
            ),
        ] {
            let refused = of(&query).unwrap_err();
            assert!(refused.contains(why), "{query}: {refused}");
        }
    }
}
