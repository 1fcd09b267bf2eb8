//! Reading what is perhaps compressed: what it is, its first bytes say and not its name.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

/// RFC 1952 §2.3.1.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// RFC 8878 §3.1.1.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// RFC 8878 §3.1.2: the first byte's upper half is free.
const SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];

/// From the beginning of `file`.
pub fn unpacked(file: &File) -> io::Result<Box<dyn Read + '_>> {
    let mut seekable = file;
    seekable.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let start = reader.fill_buf()?;
    if start.starts_with(&GZIP) {
        return Ok(Box::new(MultiGzDecoder::new(reader)));
    }
    if start.starts_with(&ZSTD) {
        return Ok(Box::new(Frames::Between(reader)));
    }
    Ok(Box::new(reader))
}

/// zstd, of which the decoder reads one frame and a file may have many.
enum Frames<R: BufRead> {
    Between(R),
    Inside(Box<StreamingDecoder<R, FrameDecoder>>),
    End,
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            *self = match std::mem::replace(self, Frames::End) {
                Frames::End => return Ok(0),
                Frames::Between(reader) => next_frame(reader)?,
                Frames::Inside(mut frame) => match frame.read(buffer)? {
                    0 => Frames::Between(frame.into_inner()),
                    count => {
                        *self = Frames::Inside(frame);
                        return Ok(count);
                    }
                },
            };
        }
    }
}

fn next_frame<R: BufRead>(mut reader: R) -> io::Result<Frames<R>> {
    while !reader.fill_buf()?.is_empty() {
        let start = reader.fill_buf()?;
        if start.get(1..4) != Some(&SKIPPABLE) {
            let frame = StreamingDecoder::new(reader).map_err(io::Error::other)?;
            return Ok(Frames::Inside(Box::new(frame)));
        }
        let mut header = [0; 8];
        reader.read_exact(&mut header)?;
        let [_, _, _, _, size @ ..] = header;
        let length = u64::from(u32::from_le_bytes(size));
        io::copy(&mut reader.by_ref().take(length), &mut io::sink())?;
    }
    Ok(Frames::End)
}
