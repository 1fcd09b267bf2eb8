//! What a request asks for, read from its method, path and query.
//!
//! Pure; kube-apiserver's `RequestInfo` for the URLs that exist here. Parameters that do not parse are
//! an error rather than a silent default.

use std::borrow::Cow;

use hyper::Method;

use super::status::{ApiError, Cause};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

impl Verb {
    /// As rules name it.
    pub fn name(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
        }
    }
}

/// A request for a resource. Names are as the client spelled them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceRequest {
    pub group: String,
    pub version: String,
    pub resource: String,
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub subresource: Option<String>,
    pub verb: Verb,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Resource(ResourceRequest),
    /// Discovery, health and whatever else is no resource; without a trailing slash.
    Path(String),
}

impl Target {
    pub fn parse(method: &Method, path: &str, options: &Options) -> Result<Target, ApiError> {
        let parts: Vec<Cow<'_, str>> = path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(|part| decode(part, false))
            .collect();
        let (group, version, rest) = match parts.as_slice() {
            [api, version, rest @ ..] if *api == "api" && !rest.is_empty() => ("", version, rest),
            [apis, group, version, rest @ ..] if *apis == "apis" && !rest.is_empty() => {
                (group.as_ref(), version, rest)
            }
            parts => return Ok(Target::Path(format!("/{}", parts.join("/")))),
        };
        let (namespace, rest) = match rest {
            [namespaces, namespace, rest @ ..]
                if *namespaces == "namespaces"
                    && !matches!(
                        rest.first().map(AsRef::as_ref),
                        None | Some("status" | "finalize")
                    ) =>
            {
                (Some(namespace.to_string()), rest)
            }
            rest => (None, rest),
        };
        let (resource, name, subresource) = match rest {
            [resource] => (resource, None, None),
            [resource, name] => (resource, Some(name.to_string()), None),
            [resource, name, subresource] => (
                resource,
                Some(name.to_string()),
                Some(subresource.to_string()),
            ),
            _ => return Err(ApiError::NoSuchPath),
        };
        let verb = verb(method, name.is_some(), options).ok_or(ApiError::MethodNotAllowed)?;
        Ok(Target::Resource(ResourceRequest {
            group: group.to_owned(),
            version: version.to_string(),
            resource: resource.to_string(),
            namespace,
            name,
            subresource,
            verb,
        }))
    }
}

fn verb(method: &Method, named: bool, options: &Options) -> Option<Verb> {
    match (method, named) {
        (&Method::GET | &Method::HEAD, true) => Some(Verb::Get),
        (&Method::GET, false) if options.watch => Some(Verb::Watch),
        (&Method::GET | &Method::HEAD, false) => Some(Verb::List),
        (&Method::POST, _) => Some(Verb::Create),
        (&Method::PUT, true) => Some(Verb::Update),
        (&Method::PATCH, true) => Some(Verb::Patch),
        (&Method::DELETE, true) => Some(Verb::Delete),
        (&Method::DELETE, false) => Some(Verb::DeleteCollection),
        _ => None,
    }
}

/// What to do with fields that the object's type does not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// How a list's `resourceVersion` is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionMatch {
    NotOlderThan,
    Exact,
}

/// The query parameters of all verbs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    pub label_selector: String,
    pub field_selector: String,
    pub watch: bool,
    pub bookmarks: bool,
    /// `None`: not given. 0 means any version will do.
    pub resource_version: Option<u64>,
    pub version_match: Option<VersionMatch>,
    /// `None`: as the version says.
    pub send_initial_events: Option<bool>,
    /// How many objects a list may show at once; `None` for all.
    pub limit: Option<usize>,
    pub continue_token: Option<String>,
    pub timeout_seconds: Option<u64>,
    pub field_validation: FieldValidation,
    pub dry_run: bool,
    pub grace_period_seconds: Option<i64>,
    pub propagation_policy: Option<String>,
    pub include_object: Option<String>,
    /// The program that writes, by its own name.
    pub field_manager: Option<String>,
    /// An apply takes fields from others.
    pub force: bool,
}

impl Options {
    pub fn parse(query: &str) -> Result<Options, Unfit> {
        let mut options = Options::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            options.set(&decode(key, true), decode(value, true))?;
        }
        Ok(options)
    }

    fn set(&mut self, key: &str, value: Cow<'_, str>) -> Result<(), Unfit> {
        match key {
            "labelSelector" => self.label_selector = value.into_owned(),
            "fieldSelector" => self.field_selector = value.into_owned(),
            "watch" => self.watch = flag(&value),
            "allowWatchBookmarks" => self.bookmarks = flag(&value),
            "resourceVersion" if value.is_empty() => {}
            "resourceVersion" => self.resource_version = Some(number(key, &value)?),
            "resourceVersionMatch" => self.version_match = version_match(&value)?,
            "sendInitialEvents" => self.send_initial_events = Some(flag(&value)),
            "limit" if value.is_empty() => {}
            "limit" => self.limit = Some(number(key, &value)?).filter(|limit| *limit > 0),
            "continue" if value.is_empty() => {}
            "continue" => self.continue_token = Some(value.into_owned()),
            "timeoutSeconds" if value.is_empty() => {}
            "timeoutSeconds" => self.timeout_seconds = Some(number(key, &value)?),
            "fieldValidation" => self.field_validation = field_validation(&value)?,
            "dryRun" => {
                if value != "All" {
                    let shown = format!("[]string{{{value:?}}}");
                    return Err(Unfit::Value(Cause::unsupported_shown(
                        "dryRun",
                        &shown,
                        &["All"],
                    )));
                }
                self.dry_run = true;
            }
            "gracePeriodSeconds" => self.grace_period_seconds = Some(number(key, &value)?),
            "propagationPolicy" => self.propagation_policy = Some(value.into_owned()),
            "includeObject" => self.include_object = Some(value.into_owned()),
            "fieldManager" if value.is_empty() => {}
            "fieldManager" => self.field_manager = Some(value.into_owned()),
            "force" => self.force = flag(&value),
            _ => {}
        }
        Ok(())
    }
}

/// A parameter that cannot be.
#[derive(Debug)]
pub enum Unfit {
    /// It cannot be read.
    Text(String),
    /// It is none of those that there are.
    Value(Cause),
}

impl Unfit {
    pub fn error(self, method: &Method) -> ApiError {
        match self {
            Unfit::Text(why) => ApiError::BadRequest(why),
            Unfit::Value(cause) => ApiError::options(method, cause),
        }
    }
}

fn version_match(value: &str) -> Result<Option<VersionMatch>, Unfit> {
    match value {
        "" => Ok(None),
        "NotOlderThan" => Ok(Some(VersionMatch::NotOlderThan)),
        "Exact" => Ok(Some(VersionMatch::Exact)),
        other => Err(Unfit::Value(Cause::unsupported(
            "resourceVersionMatch",
            other,
            &["Exact", "NotOlderThan", ""],
        ))),
    }
}

fn field_validation(value: &str) -> Result<FieldValidation, Unfit> {
    match value {
        "Ignore" => Ok(FieldValidation::Ignore),
        "" | "Warn" => Ok(FieldValidation::Warn),
        "Strict" => Ok(FieldValidation::Strict),
        other => Err(Unfit::Value(Cause::unsupported(
            "fieldValidation",
            other,
            &["", "Ignore", "Strict", "Warn"],
        ))),
    }
}

/// As Go reads a boolean parameter: present and not explicitly false.
fn flag(value: &str) -> bool {
    !matches!(value, "false" | "0")
}

fn number<T: std::str::FromStr>(key: &str, value: &str) -> Result<T, Unfit> {
    value
        .parse()
        .map_err(|_| Unfit::Text(format!("invalid {key}: {value:?} is not a number")))
}

/// Percent-decoding; in a query `+` is a space. Bytes that are no UTF-8 become U+FFFD, and a
/// broken escape stands for itself.
fn decode(text: &str, plus_is_space: bool) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = after;
                }
                _ => bytes.push(b'%'),
            },
            (b'+', _) if plus_is_space => bytes.push(b' '),
            (other, _) => bytes.push(*other),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(method: Method, uri: &str) -> Result<Target, ApiError> {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        Target::parse(&method, path, &Options::parse(query).unwrap())
    }

    fn show(method: Method, uri: &str) -> String {
        let Ok(Target::Resource(request)) = parse(method, uri) else {
            panic!("{uri} is no resource");
        };
        let part = |part: &Option<String>| part.clone().unwrap_or("-".into());
        format!(
            "{:?} {}/{} {} ns={} name={} sub={}",
            request.verb,
            request.group,
            request.version,
            request.resource,
            part(&request.namespace),
            part(&request.name),
            part(&request.subresource),
        )
    }

    #[test]
    fn resource_requests() {
        for (method, uri, expected) in [
            (
                Method::GET,
                "/api/v1/nodes",
                "List /v1 nodes ns=- name=- sub=-",
            ),
            (
                Method::GET,
                "/api/v1/pods?watch=true",
                "Watch /v1 pods ns=- name=- sub=-",
            ),
            (
                Method::GET,
                "/api/v1/pods?watch=0",
                "List /v1 pods ns=- name=- sub=-",
            ),
            (
                Method::GET,
                "/api/v1/namespaces",
                "List /v1 namespaces ns=- name=- sub=-",
            ),
            (
                Method::GET,
                "/api/v1/namespaces/a",
                "Get /v1 namespaces ns=- name=a sub=-",
            ),
            (
                Method::PUT,
                "/api/v1/namespaces/a/finalize",
                "Update /v1 namespaces ns=- name=a sub=finalize",
            ),
            (
                Method::POST,
                "/api/v1/namespaces/a/pods",
                "Create /v1 pods ns=a name=- sub=-",
            ),
            (
                Method::POST,
                "/api/v1/namespaces/a/pods/web/binding",
                "Create /v1 pods ns=a name=web sub=binding",
            ),
            (
                Method::PATCH,
                "/apis/coordination.k8s.io/v1/namespaces/a/leases/l%2D1",
                "Patch coordination.k8s.io/v1 leases ns=a name=l-1 sub=-",
            ),
            (
                Method::DELETE,
                "/api/v1/namespaces/a/pods",
                "DeleteCollection /v1 pods ns=a name=- sub=-",
            ),
        ] {
            assert_eq!(show(method, uri), expected, "{uri}");
        }
    }

    #[test]
    fn everything_else_is_a_path() {
        for uri in [
            "/api",
            "/api/v1",
            "/apis/coordination.k8s.io/v1",
            "/version",
            "/",
        ] {
            assert_eq!(parse(Method::GET, uri).unwrap(), Target::Path(uri.into()));
        }
        assert!(parse(Method::PUT, "/api/v1/nodes").is_err());
        assert!(parse(Method::GET, "/api/v1/namespaces/a/pods/b/c/d").is_err());
    }

    #[test]
    fn options_are_decoded_and_checked() {
        let options =
            Options::parse("labelSelector=app%3Dweb%2Ctier+in+%28a%29&resourceVersion=7").unwrap();
        assert_eq!(options.label_selector, "app=web,tier in (a)");
        assert_eq!(options.resource_version, Some(7));
        for query in ["resourceVersion=new", "dryRun=Some", "fieldValidation=Hard"] {
            assert!(Options::parse(query).is_err(), "{query}");
        }
    }

    proptest! {
        #[test]
        fn no_url_panics(path in "[/a-z%0-9]{0,40}", query in "[a-zA-Z=&%+0-9]{0,40}") {
            if let Ok(options) = Options::parse(&query) {
                let _ = Target::parse(&Method::GET, &path, &options);
            }
        }
    }
}
