//! Label selectors: `app=web,tier in (front,back),!legacy`.

use serde_json::Value;

use crate::server::kinds::names;
use crate::server::object;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operator {
    In(Vec<String>),
    /// Also holds where the key is absent.
    NotIn(Vec<String>),
    Exists,
    DoesNotExist,
    GreaterThan(i64),
    LessThan(i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Comma,
    Open,
    Close,
    Not,
    Equal,
    NotEqual,
    Greater,
    Less,
}

impl LabelSelector {
    /// The error says what was found and what was expected.
    pub fn parse(text: &str) -> Result<LabelSelector, String> {
        let mut parser = Parser {
            tokens: tokens(text),
            next: 0,
        };
        let mut requirements = Vec::new();
        if parser.peek().is_none() {
            return Ok(LabelSelector { requirements });
        }
        loop {
            requirements.push(parser.requirement()?);
            match parser.take() {
                None => return Ok(LabelSelector { requirements }),
                Some(Token::Comma) => {}
                other => return Err(unexpected(other, "',' or 'end of string'")),
            }
        }
    }

    /// A selector as objects carry it (`meta/v1 LabelSelector`), or a node selector's term
    /// (`core/v1 NodeSelectorTerm.matchExpressions`), whose operators are a superset. `None` for an
    /// operator that does not exist, or a value that does not fit its operator.
    pub fn of(value: &Value) -> Option<LabelSelector> {
        let equal = object::pairs(value, "/matchLabels").map(|(key, value)| {
            Some(Requirement {
                key: key.to_owned(),
                operator: Operator::In(vec![value.to_owned()]),
            })
        });
        let expressions = object::list(value, "/matchExpressions")
            .iter()
            .map(Requirement::of);
        let requirements = equal.chain(expressions).collect::<Option<_>>()?;
        Some(LabelSelector { requirements })
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements
            .iter()
            .all(|requirement| requirement.operator.holds(label(&requirement.key)))
    }
}

impl Requirement {
    fn of(expression: &Value) -> Option<Requirement> {
        let values: Vec<String> = object::list(expression, "/values")
            .iter()
            .filter_map(|value| value.as_str().map(str::to_owned))
            .collect();
        let number = || match values.as_slice() {
            [value] => value.parse().ok(),
            _ => None,
        };
        let operator = match object::text(expression, "/operator") {
            "In" if !values.is_empty() => Operator::In(values),
            "NotIn" if !values.is_empty() => Operator::NotIn(values),
            "Exists" if values.is_empty() => Operator::Exists,
            "DoesNotExist" if values.is_empty() => Operator::DoesNotExist,
            "Gt" => Operator::GreaterThan(number()?),
            "Lt" => Operator::LessThan(number()?),
            _ => return None,
        };
        Some(Requirement {
            key: object::text(expression, "/key").to_owned(),
            operator,
        })
    }
}

impl std::fmt::Display for LabelSelector {
    /// As `metav1.FormatLabelSelector` spells it in tables.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, Requirement { key, operator }) in self.requirements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match operator {
                Operator::In(values) if values.len() == 1 => write!(f, "{key}={}", values[0])?,
                Operator::In(values) => write!(f, "{key} in ({})", values.join(","))?,
                Operator::NotIn(values) => write!(f, "{key} notin ({})", values.join(","))?,
                Operator::Exists => f.write_str(key)?,
                Operator::DoesNotExist => write!(f, "!{key}")?,
                Operator::GreaterThan(bound) => write!(f, "{key}>{bound}")?,
                Operator::LessThan(bound) => write!(f, "{key}<{bound}")?,
            }
        }
        Ok(())
    }
}

impl Operator {
    fn holds(&self, value: Option<&str>) -> bool {
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match self {
            Operator::In(values) => {
                value.is_some_and(|value| values.iter().any(|one| one == value))
            }
            Operator::NotIn(values) => {
                value.is_none_or(|value| values.iter().all(|one| one != value))
            }
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan(bound) => number().is_some_and(|number| number > *bound),
            Operator::LessThan(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    next: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.next).copied()
    }

    fn take(&mut self) -> Option<Token<'a>> {
        let token = self.peek();
        self.next += 1;
        token
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let absent = self.peek() == Some(Token::Not);
        if absent {
            self.take();
        }
        let key = match self.take() {
            Some(Token::Word(key)) => key,
            other => return Err(unexpected(other, "identifier")),
        };
        if let Some(why) = names::qualified_name(key) {
            return Err(format!("key: Invalid value: {key:?}: {why}"));
        }
        let operator = if absent {
            Operator::DoesNotExist
        } else {
            self.operator()?
        };
        Ok(Requirement {
            key: key.to_owned(),
            operator,
        })
    }

    fn operator(&mut self) -> Result<Operator, String> {
        match self.peek() {
            None | Some(Token::Comma) => return Ok(Operator::Exists),
            _ => {}
        }
        match self.take() {
            Some(Token::Equal) => Ok(Operator::In(vec![self.value()?])),
            Some(Token::NotEqual) => Ok(Operator::NotIn(vec![self.value()?])),
            Some(Token::Greater) => Ok(Operator::GreaterThan(self.number()?)),
            Some(Token::Less) => Ok(Operator::LessThan(self.number()?)),
            Some(Token::Word("in")) => Ok(Operator::In(self.values()?)),
            Some(Token::Word("notin")) => Ok(Operator::NotIn(self.values()?)),
            other => Err(unexpected(
                other,
                "'in', 'notin', '=', '==', '!=', 'gt', 'lt'",
            )),
        }
    }

    /// One value after `=`; an absent one is the empty string.
    fn value(&mut self) -> Result<String, String> {
        match self.peek() {
            None | Some(Token::Comma) => Ok(String::new()),
            _ => match self.take() {
                Some(Token::Word(value)) => checked(value),
                other => Err(unexpected(other, "identifier")),
            },
        }
    }

    fn number(&mut self) -> Result<i64, String> {
        let value = self.value()?;
        value.parse().map_err(|_| {
            format!("for 'Gt', 'Lt' operators, the value must be an integer: {value:?}")
        })
    }

    /// `(a,b,)`: as in Kubernetes an empty place is the empty string.
    fn values(&mut self) -> Result<Vec<String>, String> {
        match self.take() {
            Some(Token::Open) => {}
            other => return Err(unexpected(other, "'('")),
        }
        let mut values = Vec::new();
        loop {
            match self.peek() {
                Some(Token::Word(value)) => {
                    self.take();
                    values.push(checked(value)?);
                }
                Some(Token::Comma | Token::Close) => values.push(String::new()),
                other => return Err(unexpected(other, "',', ')' or identifier")),
            }
            match self.take() {
                Some(Token::Comma) => {}
                Some(Token::Close) => return Ok(values),
                other => return Err(unexpected(other, "',' or ')'")),
            }
        }
    }
}

fn checked(value: &str) -> Result<String, String> {
    match names::label_value(value) {
        Some(why) => Err(format!("values[0]: Invalid value: {value:?}: {why}")),
        None => Ok(value.to_owned()),
    }
}

fn unexpected(found: Option<Token<'_>>, expected: &str) -> String {
    let found = match found {
        None => "",
        Some(Token::Word(word)) => word,
        Some(Token::Comma) => ",",
        Some(Token::Open) => "(",
        Some(Token::Close) => ")",
        Some(Token::Not) => "!",
        Some(Token::Equal) => "=",
        Some(Token::NotEqual) => "!=",
        Some(Token::Greater) => ">",
        Some(Token::Less) => "<",
    };
    format!("found '{found}', expected: {expected}")
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    const SPECIAL: [char; 7] = ['=', '!', '(', ')', ',', '<', '>'];
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            ',' => (Token::Comma, 1),
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '>' => (Token::Greater, 1),
            '<' => (Token::Less, 1),
            '!' if rest.starts_with("!=") => (Token::NotEqual, 2),
            '!' => (Token::Not, 1),
            '=' if rest.starts_with("==") => (Token::Equal, 2),
            '=' => (Token::Equal, 1),
            _ => {
                let end = rest
                    .find(|character: char| {
                        character.is_whitespace() || SPECIAL.contains(&character)
                    })
                    .unwrap_or(rest.len());
                (Token::Word(&rest[..end]), end)
            }
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    tokens
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(selector: &str, labels: &[(&str, &str)]) -> bool {
        let selector = LabelSelector::parse(selector).unwrap();
        selector.matches(|key| {
            labels
                .iter()
                .find(|(name, _)| *name == key)
                .map(|(_, value)| *value)
        })
    }

    #[test]
    fn inequality_holds_where_the_key_is_absent() {
        assert!(matches("app!=web", &[]));
        assert!(matches("app notin (web)", &[]));
        assert!(!matches("app=web", &[]));
        assert!(!matches("app", &[]));
        assert!(matches("!app", &[]));
    }

    #[test]
    fn the_whole_grammar() {
        let labels = &[
            ("app", "web"),
            ("tier", "front"),
            ("rank", "7"),
            ("empty", ""),
        ];
        for selector in [
            "",
            "app",
            "app=web",
            "app==web, tier = front",
            "app in (db, web),tier notin (back)",
            "app in (web,)",
            "!legacy,app",
            "rank>6,rank<8",
            "empty=",
            "empty in ()",
        ] {
            assert!(matches(selector, labels), "{selector}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_what_was_expected() {
        for (selector, found) in [
            ("app=web,", "expected: identifier"),
            ("app in web", "expected: '('"),
            ("app in (web", "',' or ')'"),
            ("app web", "'in', 'notin'"),
            ("=web", "expected: identifier"),
            ("app>many", "must be an integer"),
            ("-app", "key: Invalid value"),
        ] {
            let error = LabelSelector::parse(selector).unwrap_err();
            assert!(error.contains(found), "{selector}: {error}");
        }
    }

    proptest! {
        #[test]
        fn a_selector_in_an_object_means_what_its_text_means(
            key in "[a-z]{1,2}", values in prop::collection::vec("[a-c]{1,2}", 1..4),
            operator in prop::sample::select(vec!["In", "NotIn", "Exists", "DoesNotExist"]),
            labels in prop::collection::btree_map("[a-z]{1,2}", "[a-c]{1,2}", 0..4),
        ) {
            let values = if operator.ends_with("In") { values } else { Vec::new() };
            let object = serde_json::json!({
                "matchExpressions": [{"key": key, "operator": operator, "values": values}],
            });
            let selector = LabelSelector::of(&object).unwrap();
            let text = LabelSelector::parse(&selector.to_string()).unwrap();
            let label = |key: &str| labels.get(key).map(String::as_str);
            prop_assert_eq!(selector.matches(label), text.matches(label));
        }

        #[test]
        fn anything_parses_or_is_refused(text in "[a-z=!(), <>]{0,40}") {
            let _ = LabelSelector::parse(&text);
        }

        #[test]
        fn a_requirement_and_its_negation_split_the_world(
            key in "[a-z]{1,3}", values in prop::collection::vec("[a-c]{1,2}", 1..4),
            labels in prop::collection::btree_map("[a-z]{1,3}", "[a-c]{1,2}", 0..4),
        ) {
            let list = values.join(",");
            let pairs: Vec<(&str, &str)> =
                labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            for (yes, no) in [
                (format!("{key} in ({list})"), format!("{key} notin ({list})")),
                (format!("{key}={}", values[0]), format!("{key}!={}", values[0])),
                (key.clone(), format!("!{key}")),
            ] {
                prop_assert_ne!(matches(&yes, &pairs), matches(&no, &pairs));
            }
        }
    }
}
