pub struct Envelope;
impl Envelope {
    pub fn new() -> Self {
        Self
    }
    pub fn write(&mut self, e: &[u8], _r: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(e)
    }
}
