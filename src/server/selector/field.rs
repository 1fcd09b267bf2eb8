//! Field selectors: `spec.nodeName=node-1,status.phase!=Running`.

use crate::server::resource::Resource;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    label: String,
    value: String,
    equal: bool,
}

impl FieldSelector {
    /// The error is Kubernetes' message.
    pub fn parse(resource: &Resource, text: &str) -> Result<FieldSelector, String> {
        let selector = FieldSelector::parse_any(text)?;
        match selector
            .terms
            .iter()
            .find(|term| !selectable(resource, &term.label))
        {
            Some(term) => Err(format!("field label not supported: {}", term.label)),
            None => Ok(selector),
        }
    }

    /// Whatever the fields are that it names.
    pub fn parse_any(text: &str) -> Result<FieldSelector, String> {
        let terms = split_terms(text)
            .iter()
            .filter(|part| !part.is_empty())
            .map(|part| {
                parse_term(part)
                    .ok_or_else(|| format!("invalid selector: '{text}'; can't understand '{part}'"))
            })
            .collect::<Result<_, _>>()?;
        Ok(FieldSelector { terms })
    }

    /// The value that a field must have to be selected, if there is only one.
    pub fn demanded(&self, label: &str) -> Option<&str> {
        let demands = |term: &&Term| term.equal && term.label == label;
        self.terms
            .iter()
            .find(demands)
            .map(|term| term.value.as_str())
    }

    pub fn matches<'a>(&self, value_of: impl Fn(&str) -> &'a str) -> bool {
        self.terms
            .iter()
            .all(|term| (value_of(&term.label) == term.value) == term.equal)
    }
}

/// A value as it stands in a selector.
pub fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for character in value.chars() {
        if matches!(character, '\\' | ',' | '=') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

fn selectable(resource: &Resource, label: &str) -> bool {
    label == "metadata.name"
        || (label == "metadata.namespace" && resource.namespaced)
        || resource.fields.iter().any(|field| field.label == label)
}

/// Splits at commas that no backslash protects.
fn split_terms(text: &str) -> Vec<String> {
    let mut terms = vec![String::new()];
    let mut escaped = false;
    for character in text.chars() {
        match (character, escaped) {
            (',', false) => terms.push(String::new()),
            _ => {
                if let Some(term) = terms.last_mut() {
                    term.push(character);
                }
            }
        }
        escaped = character == '\\' && !escaped;
    }
    terms
}

/// The first operator decides; `\\`, `\,` and `\=` stand for themselves in the value.
fn parse_term(part: &str) -> Option<Term> {
    let at = part.find(['=', '!'])?;
    let (label, rest) = part.split_at(at);
    let (equal, value) = if let Some(value) = rest.strip_prefix("!=") {
        (false, value)
    } else if let Some(value) = rest.strip_prefix("==") {
        (true, value)
    } else {
        (true, rest.strip_prefix('=')?)
    };
    Some(Term {
        label: label.to_owned(),
        value: unescape(value)?,
        equal,
    })
}

fn unescape(value: &str) -> Option<String> {
    let mut plain = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next()? {
                escaped @ ('\\' | ',' | '=') => plain.push(escaped),
                _ => return None,
            },
            '=' => return None,
            other => plain.push(other),
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::kinds::pod::PODS;

    #[test]
    fn terms_are_all_to_hold() {
        let selector =
            FieldSelector::parse(&PODS, "spec.nodeName==node-1,status.phase!=Failed").unwrap();
        let on = |node: &'static str, phase: &'static str| {
            selector.matches(|label| {
                if label == "spec.nodeName" {
                    node
                } else {
                    phase
                }
            })
        };
        assert!(on("node-1", "Running"));
        assert!(!on("node-1", "Failed"));
        assert!(!on("", "Running"));
    }

    #[test]
    fn an_unknown_field_is_named() {
        let error = FieldSelector::parse(&PODS, "spec.color=red").unwrap_err();
        assert_eq!(error, "field label not supported: spec.color");
    }

    #[test]
    fn escapes_protect_what_they_precede() {
        let selector = FieldSelector::parse(&PODS, r"metadata.name=a\,b\=c\\").unwrap();
        assert!(selector.matches(|_| r"a,b=c\"));
        assert!(FieldSelector::parse(&PODS, r"metadata.name=a\b").is_err());
        assert!(FieldSelector::parse(&PODS, "metadata.name").is_err());
    }
}
