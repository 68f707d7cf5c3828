//! Reading expressions.

use super::DEPTH_MAX;

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    Number(f64),
    Text(String),
    Binary(Operator, Box<Self>, Box<Self>),
    Negative(Box<Self>),
    Call(String, Vec<Self>),
    Path {
        /// Whether it begins at the root.
        absolute: bool,
        /// What it begins with, if that is no step.
        start: Option<Box<Self>>,
        /// Predicates of the beginning.
        filters: Vec<Self>,
        steps: Vec<Step>,
    },
}

/// Between two expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Plus,
    Minus,
    Times,
    Divide,
    Modulo,
    Union,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    pub(super) axis: Axis,
    pub(super) test: Test,
    pub(super) predicates: Vec<Expression>,
}

/// In which direction a step goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Axis {
    Child,
    Descendant,
    DescendantOrSelf,
    Parent,
    Ancestor,
    AncestorOrSelf,
    Oneself,
    Following,
    FollowingSibling,
    Preceding,
    PrecedingSibling,
    Attribute,
}

/// What a step accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Test {
    Name(String),
    Any,
    Node,
    Text,
    Comment,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Number(f64),
    Literal(String),
    Name(String),
    Mark(&'static str),
}

const MARKS: [&str; 22] = [
    "//", "::", "..", "!=", "<=", ">=", "/", "[", "]", "(", ")", "@", ",", ".", "|", "+", "-", "=",
    "<", ">", "*", "$",
];

pub(super) fn parse(text: &str) -> Result<Expression, String> {
    let tokens = tokens(text)?;
    let mut parser = Parser {
        tokens,
        at: 0,
        depth: 0,
    };
    let expression = parser.or()?;
    if parser.at < parser.tokens.len() {
        return Err(parser.unexpected("the end"));
    }
    Ok(expression)
}

fn is_name_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut list = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let number = first.is_ascii_digit()
            || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit()));
        let used = if number {
            let end = rest
                .find(|c: char| !c.is_ascii_digit() && c != '.')
                .unwrap_or(rest.len());
            let value = rest[..end].parse();
            list.push(Token::Number(
                value.map_err(|_| format!("'{}' is no number", &rest[..end]))?,
            ));
            end
        } else if first == '"' || first == '\'' {
            let end = rest[1..].find(first).ok_or("a string is not closed")? + 1;
            list.push(Token::Literal(rest[1..end].to_owned()));
            end + 1
        } else if is_name_start(first) {
            // A colon belongs to a name only if a name follows: `child::x` is an axis.
            let mut end = 0;
            for (i, c) in rest.char_indices() {
                let inside = is_name_start(c) || c.is_ascii_digit() || matches!(c, '-' | '.');
                let colon = c == ':'
                    && !rest[i..].starts_with("::")
                    && !rest[..i].ends_with(':')
                    && rest[i + 1..].starts_with(is_name_start);
                if !inside && !colon {
                    break;
                }
                end = i + c.len_utf8();
            }
            list.push(Token::Name(rest[..end].to_owned()));
            end
        } else {
            let mark = MARKS.iter().find(|m| rest.starts_with(**m));
            let mark = mark.ok_or_else(|| format!("'{first}' does not belong there"))?;
            list.push(Token::Mark(mark));
            mark.len()
        };
        rest = rest[used..].trim_start();
    }
    Ok(list)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn is(&self, mark: &str) -> bool {
        matches!(self.peek(), Some(Token::Mark(m)) if *m == mark)
    }

    fn is_after(&self, mark: &str) -> bool {
        matches!(self.tokens.get(self.at + 1), Some(Token::Mark(m)) if *m == mark)
    }

    fn accept(&mut self, mark: &str) -> bool {
        let found = self.is(mark);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, mark: &str) -> Result<(), String> {
        if self.accept(mark) {
            return Ok(());
        }
        Err(self.unexpected(&format!("'{mark}'")))
    }

    fn unexpected(&self, wanted: &str) -> String {
        let found = match self.peek() {
            None => "the end".to_owned(),
            Some(Token::Number(n)) => format!("'{n}'"),
            Some(Token::Literal(t)) => format!("the string '{t}'"),
            Some(Token::Name(n)) => format!("'{n}'"),
            Some(Token::Mark(m)) => format!("'{m}'"),
        };
        format!("expected {wanted}, found {found}")
    }

    fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Name(n)) if n == word);
        self.at += usize::from(found);
        found
    }

    fn or(&mut self) -> Result<Expression, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("nested deeper than {DEPTH_MAX} levels"));
        }
        let mut left = self.and()?;
        while self.word("or") {
            left = binary(Operator::Or, left, self.and()?);
        }
        self.depth -= 1;
        Ok(left)
    }

    fn and(&mut self) -> Result<Expression, String> {
        let mut left = self.comparison()?;
        while self.word("and") {
            left = binary(Operator::And, left, self.comparison()?);
        }
        Ok(left)
    }

    fn comparison(&mut self) -> Result<Expression, String> {
        let mut left = self.sum()?;
        loop {
            let operator = match self.peek() {
                Some(Token::Mark("=")) => Operator::Equal,
                Some(Token::Mark("!=")) => Operator::NotEqual,
                Some(Token::Mark("<")) => Operator::Less,
                Some(Token::Mark("<=")) => Operator::LessEqual,
                Some(Token::Mark(">")) => Operator::Greater,
                Some(Token::Mark(">=")) => Operator::GreaterEqual,
                _ => return Ok(left),
            };
            self.at += 1;
            left = binary(operator, left, self.sum()?);
        }
    }

    fn sum(&mut self) -> Result<Expression, String> {
        let mut left = self.product()?;
        loop {
            let operator = match self.peek() {
                Some(Token::Mark("+")) => Operator::Plus,
                Some(Token::Mark("-")) => Operator::Minus,
                _ => return Ok(left),
            };
            self.at += 1;
            left = binary(operator, left, self.product()?);
        }
    }

    fn product(&mut self) -> Result<Expression, String> {
        let mut left = self.unary()?;
        loop {
            let operator = match self.peek() {
                Some(Token::Mark("*")) => Operator::Times,
                Some(Token::Name(n)) if n == "div" => Operator::Divide,
                Some(Token::Name(n)) if n == "mod" => Operator::Modulo,
                _ => return Ok(left),
            };
            self.at += 1;
            left = binary(operator, left, self.unary()?);
        }
    }

    fn unary(&mut self) -> Result<Expression, String> {
        let mut negative = false;
        while self.accept("-") {
            negative = !negative;
        }
        let mut left = self.path()?;
        while self.accept("|") {
            left = binary(Operator::Union, left, self.path()?);
        }
        Ok(if negative {
            Expression::Negative(Box::new(left))
        } else {
            left
        })
    }

    fn path(&mut self) -> Result<Expression, String> {
        let mut steps = Vec::new();
        let mut absolute = false;
        let mut start = None;
        let mut filters = Vec::new();
        if self.is("//") {
            absolute = true;
        } else if self.accept("/") {
            absolute = true;
            if !self.begins_step() {
                return Ok(Expression::Path {
                    absolute,
                    start,
                    filters,
                    steps,
                });
            }
            steps.push(self.step()?);
        } else if let Some(primary) = self.primary()? {
            filters = self.predicates()?;
            if filters.is_empty() && !self.is("/") && !self.is("//") {
                return Ok(primary);
            }
            start = Some(Box::new(primary));
        } else {
            steps.push(self.step()?);
        }
        loop {
            if self.accept("//") {
                steps.push(Step {
                    axis: Axis::DescendantOrSelf,
                    test: Test::Node,
                    predicates: Vec::new(),
                });
            } else if !self.accept("/") {
                break;
            }
            steps.push(self.step()?);
        }
        Ok(Expression::Path {
            absolute,
            start,
            filters,
            steps,
        })
    }

    fn begins_step(&self) -> bool {
        matches!(
            self.peek(),
            Some(Token::Name(_) | Token::Mark("*" | "@" | "." | ".."))
        )
    }

    /// What is no step: a value, a call, something in parentheses.
    fn primary(&mut self) -> Result<Option<Expression>, String> {
        let expression = match self.peek().cloned() {
            Some(Token::Number(number)) => Expression::Number(number),
            Some(Token::Literal(text)) => Expression::Text(text),
            Some(Token::Mark("(")) => {
                self.at += 1;
                let inside = self.or()?;
                self.expect(")")?;
                return Ok(Some(inside));
            }
            Some(Token::Mark("$")) => return Err("variables are not known here".to_owned()),
            Some(Token::Name(name)) if self.is_after("(") => {
                if matches!(name.as_str(), "node" | "text" | "comment") {
                    return Ok(None);
                }
                self.at += 2;
                let mut arguments = Vec::new();
                while !self.is(")") {
                    arguments.push(self.or()?);
                    if !self.accept(",") {
                        break;
                    }
                }
                self.expect(")")?;
                super::eval::check_call(&name, arguments.len())?;
                return Ok(Some(Expression::Call(name, arguments)));
            }
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(expression))
    }

    fn predicates(&mut self) -> Result<Vec<Expression>, String> {
        let mut list = Vec::new();
        while self.accept("[") {
            list.push(self.or()?);
            self.expect("]")?;
        }
        Ok(list)
    }

    fn step(&mut self) -> Result<Step, String> {
        let plain = |axis, test| Step {
            axis,
            test,
            predicates: Vec::new(),
        };
        if self.accept(".") {
            return Ok(plain(Axis::Oneself, Test::Node));
        }
        if self.accept("..") {
            return Ok(plain(Axis::Parent, Test::Node));
        }
        let mut axis = Axis::Child;
        if self.accept("@") {
            axis = Axis::Attribute;
        } else if let (Some(Token::Name(name)), true) = (self.peek(), self.is_after("::")) {
            axis = axis_named(name)?;
            self.at += 2;
        }
        let test = if self.accept("*") {
            Test::Any
        } else if let Some(Token::Name(name)) = self.peek().cloned() {
            self.at += 1;
            if self.accept("(") {
                self.expect(")")?;
                match name.as_str() {
                    "node" => Test::Node,
                    "text" => Test::Text,
                    "comment" => Test::Comment,
                    other => return Err(format!("{other}() is no step")),
                }
            } else {
                Test::Name(name)
            }
        } else {
            return Err(self.unexpected("a name"));
        };
        let predicates = self.predicates()?;
        Ok(Step {
            axis,
            test,
            predicates,
        })
    }
}

fn binary(operator: Operator, left: Expression, right: Expression) -> Expression {
    Expression::Binary(operator, Box::new(left), Box::new(right))
}

fn axis_named(name: &str) -> Result<Axis, String> {
    Ok(match name {
        "child" => Axis::Child,
        "descendant" => Axis::Descendant,
        "descendant-or-self" => Axis::DescendantOrSelf,
        "parent" => Axis::Parent,
        "ancestor" => Axis::Ancestor,
        "ancestor-or-self" => Axis::AncestorOrSelf,
        "self" => Axis::Oneself,
        "following" => Axis::Following,
        "following-sibling" => Axis::FollowingSibling,
        "preceding" => Axis::Preceding,
        "preceding-sibling" => Axis::PrecedingSibling,
        "attribute" => Axis::Attribute,
        other => return Err(format!("there is no axis '{other}' here")),
    })
}
