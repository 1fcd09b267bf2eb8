//! `$(NAME)` in commands, arguments and values
//! (<https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/>, `command`).

/// `$(NAME)` becomes its value, or stays if there is none; `$$` becomes `$` and begins
/// nothing.
pub fn expand<'a>(text: &str, value: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        rest = &after[1..];
        if let Some(literal) = rest.strip_prefix('$') {
            out.push('$');
            rest = literal;
        } else if let Some((name, behind)) = rest.strip_prefix('(').and_then(|r| r.split_once(')'))
        {
            match value(name) {
                Some(value) => out.push_str(value),
                None => {
                    out.push_str("$(");
                    out.push_str(name);
                    out.push(')');
                }
            }
            rest = behind;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn expanded(text: &str) -> String {
        expand(text, |name| match name {
            "A" => Some("a"),
            "LOOP" => Some("$(A)"),
            _ => None,
        })
    }

    #[test]
    fn references_as_in_kubernetes() {
        for (text, expected) in [
            ("$(A)", "a"),
            ("x$(A)y$(A)", "xaya"),
            ("$(B)", "$(B)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$a"),
            ("$A ${A} $", "$A ${A} $"),
            ("$(A", "$(A"),
            ("$(LOOP)", "$(A)"),
            ("$()", "$()"),
        ] {
            assert_eq!(expanded(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_has_no_dollar_stays(text in "[^$]*") {
            prop_assert_eq!(expanded(&text), text);
        }

        #[test]
        fn doubling_every_dollar_makes_any_text_literal(text in "[$()A-C]*") {
            prop_assert_eq!(expanded(&text.replace('$', "$$")), text);
        }
    }
}
