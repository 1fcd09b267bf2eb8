//! The grammar of names and labels, with Kubernetes' messages (apimachinery `util/validation`).

pub const SUBDOMAIN_MESSAGE: &str = "a lowercase RFC 1123 subdomain must consist of lower case \
    alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character \
    (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
pub const LABEL_MESSAGE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric \
    characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or \
    '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SERVICE_MESSAGE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters \
    or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. \
    'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED_MESSAGE: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', \
    and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or \
    '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const SLASHES_MESSAGE: &str = "a qualified name must consist of alphanumeric characters, '-', '_' or '.', \
    and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or \
    '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an \
    optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
const PREFIX_MESSAGE: &str = "prefix part a lowercase RFC 1123 subdomain must consist of lower case \
    alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character \
    (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const VALUE_MESSAGE: &str = "a valid label must be an empty string or consist of alphanumeric \
    characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. \
    'MyValue',  or 'my_value',  or '12345', regex used for validation is \
    '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// What is wrong with `name` as a DNS-1123 subdomain.
pub fn subdomain(name: &str) -> Option<&'static str> {
    if name.len() > 253 {
        return Some("must be no more than 253 bytes");
    }
    name.split('.')
        .any(|part| !is_label(part))
        .then_some(SUBDOMAIN_MESSAGE)
}

/// What is wrong with `name` as a DNS-1123 label.
pub fn label(name: &str) -> Option<&'static str> {
    if name.len() > 63 {
        return Some("must be no more than 63 bytes");
    }
    (!is_label(name)).then_some(LABEL_MESSAGE)
}

/// What is wrong with `name` as a DNS-1035 label, which is what a service's name must be.
pub fn service(name: &str) -> Option<&'static str> {
    if name.len() > 63 {
        return Some("must be no more than 63 bytes");
    }
    let is_name = is_label(name) && name.starts_with(|first: char| first.is_ascii_lowercase());
    (!is_name).then_some(SERVICE_MESSAGE)
}

/// What is wrong with a label's or an annotation's key: `[prefix/]name`.
pub fn qualified_name(key: &str) -> Option<&'static str> {
    let name = match key.split_once('/') {
        Some((_, name)) if name.contains('/') => return Some(SLASHES_MESSAGE),
        Some(("", _)) => return Some("prefix part must be non-empty"),
        Some((prefix, _)) if subdomain(prefix).is_some() => return Some(PREFIX_MESSAGE),
        Some((_, name)) => name,
        None => key,
    };
    if name.is_empty() {
        return Some("name part must be non-empty");
    }
    if name.len() > 63 {
        return Some("name part must be no more than 63 bytes");
    }
    (!is_word(name)).then_some(QUALIFIED_MESSAGE)
}

/// What is wrong with a finalizer's name: it is one of Kubernetes' own, or somebody's.
pub fn finalizer(name: &str) -> Option<&'static str> {
    const STANDARD: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];
    qualified_name(name).or_else(|| {
        (!name.contains('/') && !STANDARD.contains(&name))
            .then_some("name is neither a standard finalizer name nor is it fully qualified")
    })
}

/// What is wrong with a label's value.
pub fn label_value(value: &str) -> Option<&'static str> {
    if value.len() > 63 {
        return Some("must be no more than 63 bytes");
    }
    (!value.is_empty() && !is_word(value)).then_some(VALUE_MESSAGE)
}

/// All that is wrong with `name` as a port's (RFC 6335 §5.1).
pub fn port_name(name: &str) -> Vec<&'static str> {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let rules = [
        (name.len() > 15, "must be no more than 15 characters"),
        (
            name.is_empty() || !name.bytes().all(known),
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
        ),
        (
            !name.bytes().any(|byte| byte.is_ascii_lowercase()),
            "must contain at least one letter (a-z)",
        ),
        (name.contains("--"), "must not contain consecutive hyphens"),
        (
            name.starts_with('-') || name.ends_with('-'),
            "must not begin or end with a hyphen",
        ),
    ];
    let broken = rules.into_iter().filter(|(broken, _)| *broken);
    broken.map(|(_, why)| why).collect()
}

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    bytes.first().is_some_and(edge)
        && bytes.last().is_some_and(edge)
        && bytes.iter().all(|byte| edge(byte) || *byte == b'-')
}

fn is_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "node-1", "10.244.0.0", "a.b-c.d"] {
            assert_eq!(subdomain(good), None, "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a..b", "a_b", "a/b", ".a"] {
            assert!(subdomain(bad).is_some(), "{bad}");
        }
        assert!(label("a.b").is_some());
        assert!(label(&"a".repeat(64)).is_some());
    }

    #[test]
    fn keys_and_values_of_labels() {
        for good in ["app", "kubernetes.io/metadata.name", "A_b.c-D"] {
            assert_eq!(qualified_name(good), None, "{good}");
        }
        for bad in ["", "/a", "a/", "a/b/c", "-a", "UPPER.io/a"] {
            assert!(qualified_name(bad).is_some(), "{bad}");
        }
        assert_eq!(label_value(""), None);
        assert!(label_value("a b").is_some());
    }
}
