//! From text to steps.

use serde_json::Value;

use super::{Comparison, Node, Operand, Path, Step};

/// How deep unions, filters and ranges may be in one another.
const DEPTH: usize = 32;

pub fn template(text: &str) -> Result<Vec<Node>, String> {
    let mut input = Input {
        characters: text.chars().collect(),
        at: 0,
        depth: 0,
    };
    let nodes = nodes(&mut input, false)?;
    Ok(nodes)
}

struct Input {
    characters: Vec<char>,
    at: usize,
    depth: usize,
}

impl Input {
    fn peek(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }

    fn take(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += 1;
        Some(character)
    }

    fn skip(&mut self, text: &str) -> bool {
        let begins = text
            .chars()
            .enumerate()
            .all(|(i, c)| self.characters.get(self.at + i) == Some(&c));
        if begins {
            self.at += text.chars().count();
        }
        begins
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn expect(&mut self, text: &str) -> Result<(), String> {
        self.skip_blanks();
        match self.skip(text) {
            true => Ok(()),
            false => Err(format!("no {text:?} at character {}", self.at)),
        }
    }

    fn word(&mut self, belongs: impl Fn(char) -> bool) -> String {
        let mut word = String::new();
        while let Some(character) = self.peek().filter(|c| belongs(*c)) {
            word.push(character);
            self.at += 1;
        }
        word
    }

    fn deeper<T>(
        &mut self,
        part: impl FnOnce(&mut Input) -> Result<T, String>,
    ) -> Result<T, String> {
        if self.depth == DEPTH {
            return Err("it is too deep".to_owned());
        }
        self.depth += 1;
        let parsed = part(self);
        self.depth -= 1;
        parsed
    }
}

/// Up to the end, or up to the `{end}` of a range.
fn nodes(input: &mut Input, in_range: bool) -> Result<Vec<Node>, String> {
    let mut nodes = Vec::new();
    let mut text = String::new();
    while let Some(character) = input.take() {
        if character != '{' {
            text.push(character);
            continue;
        }
        if !text.is_empty() {
            nodes.push(Node::Text(std::mem::take(&mut text)));
        }
        input.skip_blanks();
        match input.peek() {
            Some('"' | '\'') => {
                nodes.push(Node::Text(quoted(input)?));
                input.expect("}")?;
            }
            Some(c) if c.is_alphabetic() => {
                let word = input.word(char::is_alphanumeric);
                match word.as_str() {
                    "range" => {
                        let over = path(input)?;
                        input.expect("}")?;
                        let body = input.deeper(|input| self::nodes(input, true))?;
                        nodes.push(Node::Range(over, body));
                    }
                    "end" if in_range => {
                        input.expect("}")?;
                        return Ok(nodes);
                    }
                    _ => return Err(format!("unrecognized identifier {word}")),
                }
            }
            _ => {
                nodes.push(Node::Values(path(input)?));
                input.expect("}")?;
            }
        }
    }
    if in_range {
        return Err("a range without its {end}".to_owned());
    }
    if !text.is_empty() {
        nodes.push(Node::Text(text));
    }
    Ok(nodes)
}

/// As far as steps follow one another.
fn path(input: &mut Input) -> Result<Path, String> {
    let mut steps = Vec::new();
    loop {
        input.skip_blanks();
        if input.skip("@") || input.skip("$") {
            continue;
        }
        if input.skip("..") {
            steps.push(Step::Descend);
            if input.peek() != Some('[') {
                steps.push(field(input)?);
            }
        } else if input.skip(".") {
            match input.peek() {
                Some('[' | '}') | None => {}
                _ => steps.push(field(input)?),
            }
        } else if input.skip("[") {
            steps.push(input.deeper(bracket)?);
        } else {
            return Ok(steps);
        }
    }
}

fn field(input: &mut Input) -> Result<Step, String> {
    if input.skip("*") {
        return Ok(Step::All);
    }
    let mut name = String::new();
    while let Some(character) = input.peek() {
        let ends = character.is_whitespace()
            || matches!(
                character,
                '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}' | '(' | ')'
            )
            || matches!(character, '=' | '!' | '<' | '>');
        if ends {
            break;
        }
        input.at += 1;
        match character {
            '\\' => name.extend(input.take()),
            other => name.push(other),
        }
    }
    match name.is_empty() {
        true => Err(format!("no field's name at character {}", input.at)),
        false => Ok(Step::Field(name)),
    }
}

/// What is between `[` and `]`.
fn bracket(input: &mut Input) -> Result<Step, String> {
    input.skip_blanks();
    if input.skip("?(") {
        let step = filter(input)?;
        input.expect(")")?;
        input.expect("]")?;
        return Ok(step);
    }
    let mut parts = Vec::new();
    loop {
        input.skip_blanks();
        parts.push(match input.peek() {
            // Of a list only, unlike `.*`.
            Some('*') => {
                input.at += 1;
                Step::Slice(None, None, None)
            }
            Some('"' | '\'') => Step::Field(quoted(input)?),
            _ => slice(input)?,
        });
        input.skip_blanks();
        if !input.skip(",") {
            break;
        }
    }
    input.expect("]")?;
    Ok(match parts.len() {
        1 => parts.remove(0),
        _ => Step::Union(parts.into_iter().map(|step| vec![step]).collect()),
    })
}

fn slice(input: &mut Input) -> Result<Step, String> {
    let text = input.word(|c| c.is_ascii_digit() || matches!(c, '-' | ':'));
    let number = |text: &str| match text {
        "" => Ok(None),
        text => text
            .parse()
            .map(Some)
            .map_err(|_| format!("invalid array index {text}")),
    };
    let parts: Vec<&str> = text.split(':').collect();
    match parts[..] {
        [index] => match number(index)? {
            Some(index) => Ok(Step::Index(index)),
            None => Err(format!("no array index at character {}", input.at)),
        },
        [from, before] => Ok(Step::Slice(number(from)?, number(before)?, None)),
        [from, before, step] => Ok(Step::Slice(number(from)?, number(before)?, number(step)?)),
        _ => Err(format!("invalid array index {text}")),
    }
}

fn filter(input: &mut Input) -> Result<Step, String> {
    let left = path(input)?;
    input.skip_blanks();
    let comparisons = [
        ("==", Comparison::Equal),
        ("!=", Comparison::Unequal),
        ("<=", Comparison::LessOrEqual),
        (">=", Comparison::GreaterOrEqual),
        ("<", Comparison::Less),
        (">", Comparison::Greater),
    ];
    let Some((_, comparison)) = comparisons.into_iter().find(|(sign, _)| input.skip(sign)) else {
        return Ok(Step::Filter(left, None));
    };
    input.skip_blanks();
    let right = match input.peek() {
        Some('"' | '\'') => Operand::Literal(quoted(input)?.into()),
        Some('@' | '$' | '.') => Operand::Path(path(input)?),
        _ => {
            let word = input.word(|c| !matches!(c, ')' | ']' | '}') && !c.is_whitespace());
            let literal = serde_json::from_str(&word).ok();
            let literal = literal.filter(|value: &Value| value.is_number() || value.is_boolean());
            Operand::Literal(literal.ok_or(format!("{word:?} is no text, number or boolean"))?)
        }
    };
    Ok(Step::Filter(left, Some((comparison, right))))
}

/// A text in quotes of either kind, with Go's escapes.
fn quoted(input: &mut Input) -> Result<String, String> {
    let quote = input.take();
    let mut text = String::new();
    loop {
        match input.take() {
            None => return Err("a quote without its end".to_owned()),
            end if end == quote => return Ok(text),
            Some('\\') => text.push(match input.take() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some(other) => other,
                None => return Err("a quote without its end".to_owned()),
            }),
            Some(other) => text.push(other),
        }
    }
}
