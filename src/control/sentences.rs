//! Several sentences in the place of one.

/// Sentences as one, the first of them if there are many.
pub(super) fn together(sentences: &[String]) -> String {
    const SHOWN: usize = 3;
    let (shown, more) = sentences.split_at(sentences.len().min(SHOWN));
    let mut text = shown.join("; ");
    if !more.is_empty() {
        text.push_str(&format!("; and {} more, see the log", more.len()));
    }
    text
}
