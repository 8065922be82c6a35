//! Compressing a whole file once, as small as it gets.

use std::io::{self, Write};

use brotli::CompressorWriter;
use brotli::enc::BrotliEncoderParams;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::negotiate::Coding;

/// It is asked this often whether there still is a reason.
const PIECE: usize = 64 * 1024;
const BROTLI_QUALITY: i32 = 11;
/// The window, as a power of two: as large as the content, up to 4 MiB. At this quality the encoder
/// takes eight times as much memory.
const BROTLI_WINDOWS: (u32, u32) = (16, 22);
/// The highest whose window no browser refuses (8 MiB, RFC 9659 §3).
const ZSTD_LEVEL: i32 = 19;
const COPY: usize = 4096;

/// The content in a coding; `None` when it was given up. Takes seconds for megabytes.
///
/// # Errors
/// What an encoder says; none does so about bytes in memory.
pub(super) fn compress(
    coding: Coding,
    content: &[u8],
    give_up: &impl Fn() -> bool,
) -> io::Result<Option<Vec<u8>>> {
    let room = Vec::with_capacity(content.len() / 4);
    match coding {
        Coding::Brotli => {
            let (least, most) = BROTLI_WINDOWS;
            let window = (usize::BITS - content.len().leading_zeros()).clamp(least, most);
            let parameters = BrotliEncoderParams {
                quality: BROTLI_QUALITY,
                lgwin: window.cast_signed(),
                size_hint: content.len(),
                ..BrotliEncoderParams::default()
            };
            let mut encoder = CompressorWriter::with_params(room, COPY, &parameters);
            let whole = feed(&mut encoder, content, give_up)?;
            Ok(whole.then(|| encoder.into_inner()))
        }
        Coding::Gzip => {
            let mut encoder = GzEncoder::new(room, Compression::best());
            let whole = feed(&mut encoder, content, give_up)?;
            whole.then(|| encoder.finish()).transpose()
        }
        Coding::Zstd => {
            let mut encoder = zstd::Encoder::new(room, ZSTD_LEVEL)?;
            encoder.set_pledged_src_size(u64::try_from(content.len()).ok())?;
            let whole = feed(&mut encoder, content, give_up)?;
            whole.then(|| encoder.finish()).transpose()
        }
    }
}

/// False when it was given up before the end.
fn feed(encoder: &mut impl Write, content: &[u8], give_up: &impl Fn() -> bool) -> io::Result<bool> {
    for piece in content.chunks(PIECE) {
        if give_up() {
            return Ok(false);
        }
        encoder.write_all(piece)?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    pub(in crate::files) fn decompress(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        let read = match coding {
            Coding::Brotli => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut content),
            Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut content),
            Coding::Zstd => zstd::Decoder::new(bytes)
                .expect("a decoder")
                .read_to_end(&mut content),
        };
        read.expect("what was compressed");
        content
    }

    #[test]
    fn what_is_compressed_comes_out_again_and_is_smaller() {
        let text: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
        for coding in Coding::ALL {
            let small = compress(coding, text.as_bytes(), &|| false);
            let small = small.expect("compressed").expect("not given up");
            assert!(
                small.len() < text.len() / 3,
                "{coding:?}: {} bytes",
                small.len()
            );
            assert_eq!(decompress(coding, &small), text.as_bytes(), "{coding:?}");
        }
    }

    #[test]
    fn nothing_comes_of_what_is_given_up() {
        for coding in Coding::ALL {
            let given_up = compress(coding, b"content", &|| true).expect("no error");
            assert_eq!(given_up, None, "{coding:?}");
        }
    }
}
