//! Which source of the engine a stream is.

use std::collections::HashMap;
use std::sync::Arc;

use crate::decode;
use crate::engine::Engine;
use crate::intake::Stream;

/// The streams that are open, and the numbers of those that have ended.
#[derive(Default)]
pub struct Streams {
    /// By the address of the stream, which is its own as long as it is kept here.
    open: HashMap<usize, (Arc<Stream>, usize)>,
    free: Vec<usize>,
}

impl Streams {
    /// The number of a stream in the engine, which may have been that of one that has ended.
    pub fn number(
        &mut self,
        engine: &mut Engine,
        stream: &Arc<Stream>,
        decode: &Arc<decode::Settings>,
    ) -> usize {
        let address = Arc::as_ptr(stream).addr();
        if let Some((_, number)) = self.open.get(&address) {
            return *number;
        }
        let number = match self.free.pop() {
            Some(number) => {
                engine.replace_source(number, &stream.name, &stream.tenant, Arc::clone(decode));
                number
            }
            None => engine.add_source(&stream.name, &stream.tenant, Arc::clone(decode)),
        };
        self.open.insert(address, (Arc::clone(stream), number));
        number
    }

    /// Forgets the streams that nobody else knows any more.
    pub fn forget_ended(&mut self) {
        let free = &mut self.free;
        self.open.retain(|_, (stream, number)| {
            let is_open = Arc::strong_count(stream) > 1;
            if !is_open {
                free.push(*number);
            }
            is_open
        });
    }
}
