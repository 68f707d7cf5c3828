//! Reading: one pass over the bytes, bounded in size and depth, no entity definitions.

use crate::error::{Error, ErrorKind};
use crate::xml::{Attribute, Document, Kind, NONE, Node, Span};

/// Longest text accepted: twice the largest CIB that a cluster at Pacemaker's size limits has.
const TEXT_BYTES_MAX: usize = 80 << 20;

/// Deepest nesting accepted. The deepest real construct (nested rules in a constraint) stays under
/// twenty; the bound keeps recursive readers of the tree safe.
const DEPTH_MAX: usize = 64;

/// Longest entity name looked at before it is called unknown.
const ENTITY_BYTES_MAX: usize = 32;

impl Document {
    /// Reads a document. `file` is only used in messages.
    ///
    /// # Errors
    /// The text is at fault; see [`ErrorKind`].
    pub fn parse(text: &str, file: Option<&str>) -> Result<Self, Error> {
        Self::parse_owned(text.to_owned(), file)
    }

    /// Reads a document, keeping the given buffer.
    ///
    /// # Errors
    /// As [`Document::parse`].
    pub fn parse_owned(text: String, file: Option<&str>) -> Result<Self, Error> {
        let parsed = text.len();
        if parsed > TEXT_BYTES_MAX {
            let kind = ErrorKind::TooLong {
                length: parsed,
                limit: TEXT_BYTES_MAX,
            };
            return Err(Error {
                file: file.map(str::to_owned),
                position: None,
                kind,
            });
        }
        let mut reader = Reader::new(text);
        match reader.document() {
            Ok(()) => Ok(Self {
                text: reader.text,
                parsed,
                file: file.map(str::to_owned),
                nodes: reader.nodes,
                attributes: reader.attributes,
                root: reader.root,
                prolog: reader.prolog,
                epilog: reader.epilog,
            }),
            Err(Fault { offset, kind }) => Err(Error {
                file: file.map(str::to_owned),
                position: Some(Self::position_at(&reader.text[..parsed], offset)),
                kind,
            }),
        }
    }

    /// Reads a document from bytes.
    ///
    /// # Errors
    /// As [`Document::parse`], and when the bytes are not UTF-8.
    pub fn parse_bytes(bytes: Vec<u8>, file: Option<&str>) -> Result<Self, Error> {
        match String::from_utf8(bytes) {
            Ok(text) => Self::parse_owned(text, file),
            Err(e) => Err(Error {
                file: file.map(str::to_owned),
                position: None,
                kind: ErrorKind::NotUtf8 {
                    valid_up_to: e.utf8_error().valid_up_to(),
                },
            }),
        }
    }
}

struct Fault {
    offset: usize,
    kind: ErrorKind,
}

struct Reader {
    text: String,
    /// Bytes of `text` that are input; decoded values are appended after it.
    end: usize,
    at: usize,
    nodes: Vec<Node>,
    attributes: Vec<Attribute>,
    open: Vec<u32>,
    root: u32,
    prolog: Vec<u32>,
    epilog: Vec<u32>,
}

fn span(start: usize, end: usize) -> Span {
    // The text is bounded by TEXT_BYTES_MAX; decoding only ever shortens a value.
    let start32 = u32::try_from(start).unwrap_or(u32::MAX);
    Span {
        start: start32,
        length: u32::try_from(end - start).unwrap_or(0),
    }
}

fn is_name_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':') || b >= 0x80
}

impl Reader {
    fn new(text: String) -> Self {
        let end = text.len();
        Self {
            end,
            at: 0,
            // A CIB has an element per 100 bytes and an attribute per 25, roughly.
            nodes: Vec::with_capacity(end / 64 + 8),
            attributes: Vec::with_capacity(end / 24 + 8),
            open: Vec::new(),
            root: NONE,
            prolog: Vec::new(),
            epilog: Vec::new(),
            text,
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.text.as_bytes()[..self.end]
    }

    fn fault<T>(&self, kind: ErrorKind) -> Result<T, Fault> {
        Err(Fault {
            offset: self.at,
            kind,
        })
    }

    fn unexpected<T>(&self, expected: &str) -> Result<T, Fault> {
        let found = match self.text[..self.end]
            .get(self.at..)
            .and_then(|t| t.chars().next())
        {
            Some(c) => format!("{c:?}"),
            None => "the end of the text".to_owned(),
        };
        self.fault(ErrorKind::Unexpected {
            expected: expected.to_owned(),
            found,
        })
    }

    fn starts_with(&self, prefix: &str) -> bool {
        self.bytes()[self.at..].starts_with(prefix.as_bytes())
    }

    fn skip_space(&mut self) {
        let rest = &self.bytes()[self.at..];
        let n = rest
            .iter()
            .take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'))
            .count();
        self.at += n;
    }

    fn document(&mut self) -> Result<(), Fault> {
        if self.starts_with("\u{feff}") {
            self.at += 3;
        }
        while self.at < self.end {
            if self.bytes()[self.at] == b'<' {
                self.markup()?;
            } else {
                self.character_data()?;
            }
        }
        if let Some(&open) = self.open.last() {
            let name = self.name_of(open);
            return self.fault(ErrorKind::Unfinished {
                inside: format!("<{name}>"),
            });
        }
        if self.root == NONE {
            return self.fault(ErrorKind::Shape(
                "there is no element; expected <cib ...>".into(),
            ));
        }
        Ok(())
    }

    fn name_of(&self, node: u32) -> &str {
        let s = self.nodes[node as usize].text;
        &self.text[s.start as usize..(s.start + s.length) as usize]
    }

    fn markup(&mut self) -> Result<(), Fault> {
        if self.starts_with("</") {
            self.end_tag()
        } else if self.starts_with("<!--") {
            self.delimited("<!--", "-->", Kind::Comment)
        } else if self.starts_with("<![CDATA[") {
            if self.open.is_empty() {
                return self.unexpected("an element");
            }
            self.delimited("<![CDATA[", "]]>", Kind::Text)
        } else if self.starts_with("<?") {
            self.delimited("<?", "?>", Kind::Instruction)
        } else if self.starts_with("<!") {
            self.fault(ErrorKind::DocumentType)
        } else {
            self.start_tag()
        }
    }

    fn delimited(&mut self, begin: &str, end: &str, kind: Kind) -> Result<(), Fault> {
        let start = self.at + begin.len();
        let Some(length) = self.text[start..self.end].find(end) else {
            return self.fault(ErrorKind::Unfinished {
                inside: format!("{begin} ... {end}"),
            });
        };
        let offset = self.at;
        self.at = start + length + end.len();
        if kind == Kind::Text && length == 0 {
            return Ok(());
        }
        self.add(kind, span(start, start + length), offset);
        Ok(())
    }

    /// Appends a node to the innermost open element, or beside the root.
    fn add(&mut self, kind: Kind, text: Span, offset: usize) -> u32 {
        let id = u32::try_from(self.nodes.len()).unwrap_or(NONE);
        let parent = self.open.last().copied().unwrap_or(NONE);
        self.nodes.push(Node {
            kind,
            text,
            parent,
            first_child: NONE,
            last_child: NONE,
            next: NONE,
            attributes_start: u32::try_from(self.attributes.len()).unwrap_or(NONE),
            attributes_count: 0,
            offset: u32::try_from(offset).unwrap_or(NONE),
        });
        if parent == NONE {
            match kind {
                Kind::Element => self.root = id,
                _ if self.root == NONE => self.prolog.push(id),
                _ => self.epilog.push(id),
            }
        } else {
            let last = self.nodes[parent as usize].last_child;
            self.nodes[parent as usize].last_child = id;
            if last == NONE {
                self.nodes[parent as usize].first_child = id;
            } else {
                self.nodes[last as usize].next = id;
            }
        }
        id
    }

    fn name(&mut self, expected: &str) -> Result<Span, Fault> {
        let start = self.at;
        let n = self.bytes()[start..]
            .iter()
            .take_while(|b| is_name_byte(**b))
            .count();
        let first = self.bytes().get(start).copied().unwrap_or(b' ');
        if n == 0 || first.is_ascii_digit() || matches!(first, b'-' | b'.') {
            return self.unexpected(expected);
        }
        self.at += n;
        Ok(span(start, self.at))
    }

    fn start_tag(&mut self) -> Result<(), Fault> {
        let offset = self.at;
        if self.open.is_empty() && self.root != NONE {
            return self.fault(ErrorKind::Shape(
                "a second root element; a CIB has one".into(),
            ));
        }
        if self.open.len() >= DEPTH_MAX {
            return self.fault(ErrorKind::TooDeep { limit: DEPTH_MAX });
        }
        self.at += 1;
        let name = self.name("an element's name")?;
        let id = self.add(Kind::Element, name, offset);
        loop {
            let before = self.at;
            self.skip_space();
            match self.bytes().get(self.at) {
                Some(b'>') => {
                    self.at += 1;
                    self.open.push(id);
                    return Ok(());
                }
                Some(b'/') if self.starts_with("/>") => {
                    self.at += 2;
                    return Ok(());
                }
                Some(_) if before != self.at => self.attribute(id)?,
                Some(_) => return self.unexpected("white space, '>' or '/>'"),
                None => {
                    self.at = offset;
                    return self.fault(ErrorKind::Unfinished {
                        inside: "a start tag".into(),
                    });
                }
            }
        }
    }

    fn attribute(&mut self, element: u32) -> Result<(), Fault> {
        let at = self.at;
        let name = self.name("an attribute's name, '>' or '/>'")?;
        self.skip_space();
        if self.bytes().get(self.at) != Some(&b'=') {
            return self.unexpected("'='");
        }
        self.at += 1;
        self.skip_space();
        let quote = match self.bytes().get(self.at) {
            Some(q @ (b'"' | b'\'')) => *q,
            _ => return self.unexpected("a value in quotes"),
        };
        self.at += 1;
        let start = self.at;
        let rest = &self.bytes()[start..];
        let Some(length) = rest.iter().position(|b| *b == quote || *b == b'<') else {
            return self.fault(ErrorKind::Unfinished {
                inside: "an attribute's value".into(),
            });
        };
        if rest[length] == b'<' {
            self.at = start + length;
            return self.unexpected("the closing quote ('<' is written &lt;)");
        }
        let plain = !rest[..length]
            .iter()
            .any(|b| matches!(b, b'&' | b'\t' | b'\n' | b'\r'));
        let value = if plain {
            span(start, start + length)
        } else {
            self.decode(start, length, true)?
        };
        self.at = start + length + 1;
        let first = self.nodes[element as usize].attributes_start as usize;
        let name_text = &self.text[name.start as usize..(name.start + name.length) as usize];
        let twice = self.attributes[first..].iter().any(|a| {
            a.name.length == name.length
                && &self.text[a.name.start as usize..(a.name.start + a.name.length) as usize]
                    == name_text
        });
        if twice {
            let name = name_text.to_owned();
            self.at = at;
            return self.fault(ErrorKind::DuplicateAttribute { name });
        }
        self.attributes.push(Attribute { name, value });
        self.nodes[element as usize].attributes_count += 1;
        Ok(())
    }

    fn end_tag(&mut self) -> Result<(), Fault> {
        let offset = self.at;
        let Some(open) = self.open.pop() else {
            return self.unexpected("an element");
        };
        self.at += 2;
        let name = self.name("an element's name")?;
        let found = &self.text[name.start as usize..(name.start + name.length) as usize];
        if found != self.name_of(open) {
            let begun = self.nodes[open as usize].offset as usize;
            let kind = ErrorKind::Mismatch {
                open: self.name_of(open).to_owned(),
                begun: Document::position_at(&self.text[..self.end], begun),
                found: found.to_owned(),
            };
            self.at = offset;
            return self.fault(kind);
        }
        self.skip_space();
        if self.bytes().get(self.at) != Some(&b'>') {
            return self.unexpected("'>'");
        }
        self.at += 1;
        Ok(())
    }

    fn character_data(&mut self) -> Result<(), Fault> {
        let start = self.at;
        let rest = &self.bytes()[start..];
        let length = rest.iter().position(|b| *b == b'<').unwrap_or(rest.len());
        let blank = rest[..length].iter().all(u8::is_ascii_whitespace);
        if self.open.is_empty() {
            if !blank {
                return self.unexpected("an element");
            }
        } else if !blank {
            let text = if rest[..length].contains(&b'&') {
                self.decode(start, length, false)?
            } else {
                span(start, start + length)
            };
            self.add(Kind::Text, text, start);
        }
        self.at = start + length;
        Ok(())
    }

    /// Resolves references (and, in attributes, folds white space) into the tail of the buffer.
    fn decode(&mut self, start: usize, length: usize, attribute: bool) -> Result<Span, Fault> {
        let mut out = String::with_capacity(length);
        let mut at = start;
        let end = start + length;
        while at < end {
            let rest = &self.text[at..end];
            let c = rest.chars().next().unwrap_or(' ');
            if c == '&' {
                let Some(semicolon) = rest.bytes().take(ENTITY_BYTES_MAX).position(|b| b == b';')
                else {
                    self.at = at;
                    return self.unexpected("a reference such as &amp; ('&' is written &amp;)");
                };
                let Some(c) = reference(&rest[1..semicolon]) else {
                    let name = rest[1..semicolon].to_owned();
                    self.at = at;
                    return self.fault(ErrorKind::UnknownEntity { name });
                };
                out.push(c);
                at += semicolon + 1;
            } else {
                out.push(if attribute && matches!(c, '\t' | '\n' | '\r') {
                    ' '
                } else {
                    c
                });
                at += c.len_utf8();
            }
        }
        let tail = self.text.len();
        self.text.push_str(&out);
        Ok(span(tail, self.text.len()))
    }
}

fn reference(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let digits = name.strip_prefix('#')?;
            let code = match digits.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => digits.parse().ok()?,
            };
            char::from_u32(code).filter(|c| *c != '\0')
        }
    }
}
