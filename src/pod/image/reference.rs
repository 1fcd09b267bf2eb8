//! Names of images, in the many ways people write one.

use std::fmt;

/// `[REGISTRY/]PATH[:TAG][@DIGEST]`, without the words that Docker implies:
/// `docker.io/library/busybox:1.36` is `busybox:1.36`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// With a registry unless it is Docker's.
    pub name: String,
    pub tag: Option<String>,
    /// `sha256:…`.
    pub digest: Option<String>,
}

impl Reference {
    /// `None` if it is not a name of an image
    /// (<https://github.com/distribution/reference>, its grammar).
    pub fn parse(text: &str) -> Option<Reference> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) if is_digest(digest) => (rest, Some(digest)),
            Some(_) => return None,
            None => (text, None),
        };
        let last = rest.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match rest[last..].split_once(':') {
            Some((_, tag)) if is_tag(tag) => (&rest[..rest.len() - tag.len() - 1], Some(tag)),
            Some(_) => return None,
            None => (rest, None),
        };
        let name = familiar(name);
        let (registry, path) = split_registry(name);
        let sound = registry.is_none_or(is_registry) && path.split('/').all(is_component);
        (sound && name.len() <= 255).then(|| Reference {
            name: name.to_owned(),
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }

    /// The tag; `latest` where neither it nor a digest says which one.
    pub fn tag_or_latest(&self) -> Option<&str> {
        match (&self.tag, &self.digest) {
            (Some(tag), _) => Some(tag),
            (None, Some(_)) => None,
            (None, None) => Some("latest"),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

fn familiar(name: &str) -> &str {
    for registry in ["docker.io/", "index.docker.io/"] {
        if let Some(path) = name.strip_prefix(registry) {
            return path.strip_prefix("library/").unwrap_or(path);
        }
    }
    match name.strip_prefix("library/") {
        Some(path) if !path.contains('/') => path,
        _ => name,
    }
}

/// The first word is a registry if it looks like a host.
fn split_registry(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => {
            (Some(first), path)
        }
        _ => (None, name),
    }
}

fn is_registry(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "0"));
    let word = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let sound = |part: &str| part.starts_with(|c| word(c) && c != '-') && part.chars().all(word);
    host.split('.').all(sound) && port.parse::<u16>().is_ok()
}

fn is_component(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(edge)
        && text.ends_with(edge)
        && text.chars().all(|c| edge(c) || "._-".contains(c))
}

fn is_tag(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.starts_with(word) && text.len() <= 128 && text.chars().all(|c| word(c) || ".-".contains(c))
}

/// Only the one kind of digest that can be checked here.
pub fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64
            && hex
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_a_name_is_one_again_and_the_same(text in "[a-z./:@-]{0,20}|(docker\\.io/|library/|[a-z]{1,4}\\.io(:5000)?/)?[a-z]{1,4}(/[a-z]{1,4})?(:[a-z0-9]{1,4})?") {
            if let Some(reference) = Reference::parse(&text) {
                prop_assert_eq!(Reference::parse(&reference.to_string()), Some(reference));
            }
        }
    }

    #[test]
    fn one_image_by_its_many_names() {
        for text in [
            "busybox:1.36",
            "library/busybox:1.36",
            "docker.io/busybox:1.36",
            "docker.io/library/busybox:1.36",
        ] {
            let reference = Reference::parse(text).expect("a name");
            assert_eq!(reference.to_string(), "busybox:1.36", "{text}");
        }
        let reference = Reference::parse("localhost:5000/a/b").expect("a name");
        assert_eq!(reference.name, "localhost:5000/a/b");
        assert_eq!(reference.tag_or_latest(), Some("latest"));
        let digest = format!("sha256:{}", "0".repeat(64));
        let reference = Reference::parse(&format!("a@{digest}")).expect("a name");
        assert_eq!(reference.tag_or_latest(), None);
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            "A",
            "a:",
            "a b",
            "/a",
            "a/",
            "a//b",
            "a:-x",
            "a@sha256:0",
            "http://a/b",
            "a_",
            "../a",
        ] {
            assert_eq!(Reference::parse(text), None, "{text:?}");
        }
    }
}
