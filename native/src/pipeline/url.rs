//! To come with its stage.
#[inline]
pub fn may_hold_credentials(_raw: &[u8]) -> bool {
    false
}
pub fn strip_credentials(_text: &str) -> Option<String> {
    None
}
