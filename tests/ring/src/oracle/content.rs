//! *Content*: what is delivered is what was sent, byte for byte as long, and ends as it did.
//!
//! ```text
//! process u32 | count u32 | length u16 | filler ...
//! ```

use super::MessageId;

/// Bytes before the filler.
const HEAD: usize = 10;
/// Set in the count of a message that carries a word of the list of nodes instead of a filler.
const WORD: u32 = 1 << 31;

/// A message, read.
pub struct Letter<'a> {
    /// Its name.
    pub id: MessageId,
    /// A word of the list of nodes.
    pub word: Option<&'a [u8]>,
}

/// The bytes of a message with a filler of that length, or with a word.
pub fn write(id: MessageId, filler: usize, word: Option<&[u8]>) -> Vec<u8> {
    let length = word.map_or(filler, <[u8]>::len);
    let mut bytes = Vec::with_capacity(HEAD + length);
    bytes.extend(id.process.to_le_bytes());
    bytes.extend((id.count | if word.is_some() { WORD } else { 0 }).to_le_bytes());
    bytes.extend(u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
    match word {
        Some(word) => bytes.extend(word),
        None => bytes.resize(HEAD + length, filler_of(id)),
    }
    bytes
}

fn filler_of(id: MessageId) -> u8 {
    (id.process ^ id.count.rotate_left(3)) as u8
}

/// Reads a message.
///
/// # Errors
/// It is not as it was sent.
pub fn read(bytes: &[u8]) -> Result<Letter<'_>, String> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else {
        return Err(format!("a message of {} bytes was delivered", bytes.len()));
    };
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let count = word(4);
    let id = MessageId {
        process: word(0),
        count: count & !WORD,
    };
    let length = usize::from(u16::from_le_bytes([head[8], head[9]]));
    let is_word = count & WORD != 0;
    let ends = is_word || rest.last().is_none_or(|last| *last == filler_of(id));
    if rest.len() != length || !ends {
        return Err(format!(
            "{id:?} was sent with {length} bytes, and comes with {}",
            rest.len()
        ));
    }
    Ok(Letter {
        id,
        word: is_word.then_some(rest),
    })
}
