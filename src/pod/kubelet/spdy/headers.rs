//! Header blocks: pairs of names and values, compressed with zlib.
//!
//! Each direction of a connection is one zlib stream with the dictionary that SPDY/3 §2.6.10.1
//! gives; a block ends where its data is flushed.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use super::SpdyError;

/// Of a block that is uncompressed; Kubernetes' have some hundred bytes.
const MAX_BYTES: usize = 64 << 10;
const STEP_BYTES: usize = 4 << 10;

/// Names are in lower case.
pub type Headers = Vec<(String, String)>;

pub fn header<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

#[derive(Debug)]
pub struct Inflater(Decompress);

impl Default for Inflater {
    fn default() -> Inflater {
        Inflater(Decompress::new(true))
    }
}

impl Inflater {
    /// # Errors
    /// For what is no block or too large. Nothing after it can be read then either.
    pub fn headers(&mut self, block: &[u8]) -> Result<Headers, SpdyError> {
        parse(&self.inflate(block)?)
    }

    fn inflate(&mut self, mut block: &[u8]) -> Result<Vec<u8>, SpdyError> {
        let mut plain = Vec::new();
        loop {
            plain.reserve(STEP_BYTES);
            let before = (self.0.total_in(), plain.len());
            let result = self
                .0
                .decompress_vec(block, &mut plain, FlushDecompress::Sync);
            let read = usize::try_from(self.0.total_in() - before.0).unwrap_or(block.len());
            block = block.get(read..).unwrap_or_default();
            if plain.len() > MAX_BYTES {
                return Err(SpdyError::Headers("more than 64 KiB"));
            }
            match result {
                Err(error) if error.needs_dictionary().is_some() => {
                    let set = self.0.set_dictionary(DICTIONARY);
                    set.map_err(|_| SpdyError::Headers("another dictionary"))?;
                }
                Err(_) => return Err(SpdyError::Headers("no zlib data")),
                // All of it is out when there was room for more.
                Ok(_) if block.is_empty() && plain.len() < plain.capacity() => return Ok(plain),
                Ok(_) if read == 0 && plain.len() == before.1 => {
                    return Err(SpdyError::Headers("zlib data behind its end"));
                }
                Ok(_) => {}
            }
        }
    }
}

#[derive(Debug)]
pub struct Deflater(Compress);

impl Deflater {
    pub fn new() -> Result<Deflater, SpdyError> {
        let mut compress = Compress::new(Compression::default(), true);
        let set = compress.set_dictionary(DICTIONARY);
        set.map_err(|_| SpdyError::Headers("the dictionary is refused"))?;
        Ok(Deflater(compress))
    }

    pub fn block(&mut self, headers: &Headers) -> Result<Vec<u8>, SpdyError> {
        let plain = render(headers);
        let mut rest = &plain[..];
        let mut block = Vec::new();
        loop {
            block.reserve(STEP_BYTES);
            let before = self.0.total_in();
            self.0
                .compress_vec(rest, &mut block, FlushCompress::Sync)
                .map_err(|_| SpdyError::Headers("they cannot be compressed"))?;
            let read = usize::try_from(self.0.total_in() - before).unwrap_or(rest.len());
            rest = rest.get(read..).unwrap_or_default();
            if rest.is_empty() && block.len() < block.capacity() {
                return Ok(block);
            }
        }
    }
}

fn parse(plain: &[u8]) -> Result<Headers, SpdyError> {
    let mut rest = plain;
    let count = number(&mut rest)?;
    let mut headers = Headers::new();
    for _ in 0..count {
        let (name, value) = (text(&mut rest)?, text(&mut rest)?);
        headers.push((name.to_ascii_lowercase(), value));
    }
    Ok(headers)
}

fn number(rest: &mut &[u8]) -> Result<u32, SpdyError> {
    let (head, tail) = rest
        .split_first_chunk()
        .ok_or(SpdyError::Headers("they end too early"))?;
    *rest = tail;
    Ok(u32::from_be_bytes(*head))
}

fn text(rest: &mut &[u8]) -> Result<String, SpdyError> {
    let length = usize::try_from(number(rest)?).unwrap_or(usize::MAX);
    let (head, tail) = rest
        .split_at_checked(length)
        .ok_or(SpdyError::Headers("they end too early"))?;
    *rest = tail;
    let text = std::str::from_utf8(head).map_err(|_| SpdyError::Headers("no UTF-8"))?;
    Ok(text.to_owned())
}

fn render(headers: &Headers) -> Vec<u8> {
    let length = |text: &[u8]| u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes();
    let count = u32::try_from(headers.len()).unwrap_or(u32::MAX);
    let mut plain = count.to_be_bytes().to_vec();
    for (name, value) in headers {
        for text in [name.as_bytes(), value.as_bytes()] {
            plain.extend_from_slice(&length(text));
            plain.extend_from_slice(text);
        }
    }
    plain
}

/// Its Adler-32 is 0xe3c6a7c2, as every stream's head says.
const DICTIONARY: &[u8] = b"\
    \x00\x00\x00\x07options\x00\x00\x00\x04head\x00\x00\x00\x04post\x00\x00\x00\x03put\
    \x00\x00\x00\x06delete\x00\x00\x00\x05trace\x00\x00\x00\x06accept\
    \x00\x00\x00\x0eaccept-charset\x00\x00\x00\x0faccept-encoding\
    \x00\x00\x00\x0faccept-language\x00\x00\x00\x0daccept-ranges\x00\x00\x00\x03age\
    \x00\x00\x00\x05allow\x00\x00\x00\x0dauthorization\x00\x00\x00\x0dcache-control\
    \x00\x00\x00\x0aconnection\x00\x00\x00\x0ccontent-base\
    \x00\x00\x00\x10content-encoding\x00\x00\x00\x10content-language\
    \x00\x00\x00\x0econtent-length\x00\x00\x00\x10content-location\
    \x00\x00\x00\x0bcontent-md5\x00\x00\x00\x0dcontent-range\x00\x00\x00\x0ccontent-type\
    \x00\x00\x00\x04date\x00\x00\x00\x04etag\x00\x00\x00\x06expect\
    \x00\x00\x00\x07expires\x00\x00\x00\x04from\x00\x00\x00\x04host\
    \x00\x00\x00\x08if-match\x00\x00\x00\x11if-modified-since\
    \x00\x00\x00\x0dif-none-match\x00\x00\x00\x08if-range\
    \x00\x00\x00\x13if-unmodified-since\x00\x00\x00\x0dlast-modified\
    \x00\x00\x00\x08location\x00\x00\x00\x0cmax-forwards\x00\x00\x00\x06pragma\
    \x00\x00\x00\x12proxy-authenticate\x00\x00\x00\x13proxy-authorization\
    \x00\x00\x00\x05range\x00\x00\x00\x07referer\x00\x00\x00\x0bretry-after\
    \x00\x00\x00\x06server\x00\x00\x00\x02te\x00\x00\x00\x07trailer\
    \x00\x00\x00\x11transfer-encoding\x00\x00\x00\x07upgrade\x00\x00\x00\x0auser-agent\
    \x00\x00\x00\x04vary\x00\x00\x00\x03via\x00\x00\x00\x07warning\
    \x00\x00\x00\x10www-authenticate\x00\x00\x00\x06method\x00\x00\x00\x03get\
    \x00\x00\x00\x06status\x00\x00\x00\x06200 OK\x00\x00\x00\x07version\
    \x00\x00\x00\x08HTTP/1.1\x00\x00\x00\x03url\x00\x00\x00\x06public\
    \x00\x00\x00\x0aset-cookie\x00\x00\x00\x0akeep-alive\x00\x00\x00\x06origin\
    10010120120220520630030230330430530630740240540640740840941041141241341441541641\
    7502504505203 Non-Authoritative Information204 No Content301 Moved Permanently40\
    0 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error\
    501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept O\
    ct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,imag\
    e/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/\
    javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1\
    ,utf-,*,enq=0.";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 1950 §9.
    fn adler32(bytes: &[u8]) -> u32 {
        let (mut a, mut b) = (1_u32, 0_u32);
        for byte in bytes {
            a = (a + u32::from(*byte)) % 65_521;
            b = (b + a) % 65_521;
        }
        b << 16 | a
    }

    #[test]
    fn the_dictionary_is_the_one_that_clients_name() {
        assert_eq!(adler32(DICTIONARY), 0xe3c6_a7c2);
    }

    fn headers() -> impl Strategy<Value = Headers> {
        proptest::collection::vec(("[a-z-]{0,20}", "\\PC{0,40}"), 0..20)
    }

    proptest! {
        #[test]
        fn blocks_of_one_stream_are_read_in_turn(
            blocks in proptest::collection::vec(headers(), 1..5)
        ) {
            let (mut deflater, mut inflater) = (Deflater::new().unwrap(), Inflater::default());
            for headers in blocks {
                let block = deflater.block(&headers).unwrap();
                prop_assert_eq!(inflater.headers(&block).unwrap(), headers);
            }
        }

        #[test]
        fn any_block_is_survived(
            block in proptest::collection::vec(any::<u8>(), 0..300),
            good in headers(),
        ) {
            let _ = Inflater::default().headers(&block);
            let _ = parse(&block);
            let mut inflater = Inflater::default();
            let first = Deflater::new().unwrap().block(&good).unwrap();
            prop_assert_eq!(inflater.headers(&first).unwrap(), good);
            let _ = inflater.headers(&block);
        }
    }

    #[test]
    fn a_block_that_swells_is_refused() {
        let bomb = vec![("a".to_owned(), "a".repeat(MAX_BYTES))];
        let block = Deflater::new().unwrap().block(&bomb).unwrap();
        assert!(block.len() < MAX_BYTES / 100);
        assert!(Inflater::default().headers(&block).is_err());
    }
}
