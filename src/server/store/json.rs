//! The JSON of stored objects. What many of them say alike is in memory once.
//!
//! Pods of one template differ in little of what they say: their containers are the same text, and so is
//! what managedFields tells of who wrote them. Those two are three quarters of a pod.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use hyper::body::Bytes;
use memchr::memmem::Finder;

/// Shorter texts cost more as pieces than as they are.
const LEAST_BYTES: usize = 128;

/// The text of an object, of which some pieces are shared with others.
pub struct Json {
    /// All but the shared pieces.
    own: Box<[u8]>,
    /// In their order, each with where in `own` it belongs.
    shared: Box<[(usize, Arc<[u8]>)]>,
}

impl Json {
    pub fn new(text: &[u8]) -> Json {
        let mut own = Vec::with_capacity(text.len());
        let mut shared = Vec::new();
        let mut told = 0;
        for (start, end) in alike(text) {
            own.extend_from_slice(&text[told..start]);
            shared.push((own.len(), share(&text[start..end])));
            told = end;
        }
        own.extend_from_slice(&text[told..]);
        Json {
            own: own.into(),
            shared: shared.into(),
        }
    }

    pub fn len(&self) -> usize {
        self.parts().map(<[u8]>::len).sum()
    }

    /// How much of it is this object's alone.
    pub fn own_len(&self) -> usize {
        self.own.len()
    }

    pub fn to_vec(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.len());
        self.write_to(&mut text);
        text
    }

    pub fn to_bytes(&self) -> Bytes {
        self.to_vec().into()
    }

    pub fn write_to(&self, text: &mut Vec<u8>) {
        self.parts().for_each(|part| text.extend_from_slice(part));
    }

    /// Whether a string is in it, or a part of one. Costs less than reading it.
    pub fn mentions(&self, text: &str) -> bool {
        let finder = Finder::new(text);
        // Parts end where objects and lists do, so no string is in two of them.
        self.parts().any(|part| finder.find(part).is_some())
    }

    fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let mut told = 0;
        let pieces = self.shared.iter().flat_map(move |(at, piece)| {
            let before = &self.own[told..*at];
            told = *at;
            [before, piece.as_ref()]
        });
        let last = self.shared.last().map_or(0, |(at, _)| *at);
        pieces.chain([&self.own[last..]])
    }
}

/// Where in a text the values are that others may have too. That one of these names is in a string, or
/// means something else here, does no harm.
fn alike(text: &[u8]) -> Vec<(usize, usize)> {
    static NAMES: LazyLock<[Finder<'static>; 2]> = LazyLock::new(|| {
        [
            Finder::new("\"containers\":["),
            Finder::new("\"fieldsV1\":{"),
        ]
    });
    let mut found: Vec<(usize, usize)> = NAMES
        .iter()
        .flat_map(|name| {
            let starts = name.find_iter(text).map(|at| at + name.needle().len() - 1);
            starts.filter_map(|start| Some((start, start + value_len(&text[start..])?)))
        })
        .filter(|(start, end)| end - start >= LEAST_BYTES)
        .collect();
    found.sort_unstable();
    let mut free = 0;
    found.retain(|(start, end)| {
        let apart = *start >= free;
        free = if apart { *end } else { free };
        apart
    });
    found
}

/// The length of the object or list that a text begins with. `None` where it does not end.
fn value_len(text: &[u8]) -> Option<usize> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// The pieces that there are. Those that no object has any more are forgotten when all have become
/// twice as many bytes as were in use the last time.
#[derive(Default)]
struct Pool {
    pieces: HashSet<Arc<[u8]>>,
    bytes: usize,
    used_bytes: usize,
}

/// Not worth looking through.
const FEW_BYTES: usize = 1 << 20;

static POOL: LazyLock<Mutex<Pool>> = LazyLock::new(Mutex::default);

fn share(piece: &[u8]) -> Arc<[u8]> {
    // What a panic could leave behind is a wrong sum, which the next look mends.
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    pool.share(piece)
}

impl Pool {
    fn share(&mut self, piece: &[u8]) -> Arc<[u8]> {
        if let Some(known) = self.pieces.get(piece) {
            return known.clone();
        }
        let piece: Arc<[u8]> = piece.into();
        self.pieces.insert(piece.clone());
        self.bytes += piece.len();
        if self.bytes > FEW_BYTES.max(2 * self.used_bytes) {
            self.pieces.retain(|piece| Arc::strong_count(piece) > 1);
            self.bytes = self.pieces.iter().map(|piece| piece.len()).sum();
            self.used_bytes = self.bytes;
        }
        piece
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pod(name: &str) -> String {
        let image = "a".repeat(LEAST_BYTES);
        format!(
            r#"{{"name":"{name}","fieldsV1":{{"f:a":"{image}\"}}"}},"containers":[{{"image":"{image}"}}],"z":1}}"#
        )
    }

    #[test]
    fn what_two_say_alike_is_there_once() {
        let (one, other) = (pod("one"), pod("other"));
        let (one_json, other_json) = (Json::new(one.as_bytes()), Json::new(other.as_bytes()));
        assert_eq!(one_json.to_bytes(), one.as_bytes());
        assert_eq!(other_json.to_bytes(), other.as_bytes());
        assert_eq!(one_json.shared.len(), 2);
        for (one, other) in one_json.shared.iter().zip(&other_json.shared) {
            assert!(Arc::ptr_eq(&one.1, &other.1));
        }
        assert_eq!(
            one_json.own_len(),
            r#"{"name":"one","fieldsV1":,"containers":,"z":1}"#.len()
        );
        assert_eq!(one_json.len(), one.len());
        assert!(
            one_json.mentions("\"one\"") && one_json.mentions("aaa") && !one_json.mentions("other")
        );
    }

    #[test]
    fn what_nobody_says_any_more_is_forgotten() {
        let mut pool = Pool::default();
        let large = |n: usize| vec![n as u8; FEW_BYTES / 4];
        let kept = pool.share(&large(0));
        for n in 1..=100 {
            drop(pool.share(&large(n)));
            assert!(pool.bytes <= FEW_BYTES);
        }
        assert!(Arc::ptr_eq(&kept, &pool.share(&large(0))));
    }

    proptest! {
        /// Whatever it is, whole or not.
        #[test]
        fn a_text_is_what_it_was(
            parts in prop::collection::vec(
                prop_oneof![
                    Just("\"containers\":[".to_owned()),
                    Just("\"fieldsV1\":{".to_owned()),
                    Just("x".repeat(LEAST_BYTES)),
                    "[\\[\\]{}\"\\\\,:a]{0,6}",
                ],
                0..12,
            ),
        ) {
            let text = parts.concat();
            let json = Json::new(text.as_bytes());
            prop_assert_eq!(json.to_vec(), text.as_bytes());
            prop_assert_eq!(json.len(), text.len());
        }
    }
}
