//! Uses the crate where there is no standard library: a writer on a device with one buffer for a heap.
#![no_std]

use core::alloc::{GlobalAlloc, Layout};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};

use causal::{CausalContext, Minter, Siblings, Token};

/// Hands out a fixed buffer from front to back and takes nothing back.
struct Bump;

static USED: AtomicUsize = AtomicUsize::new(0);
static mut HEAP: [u8; 1 << 16] = [0; 1 << 16];

unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let size = layout.size() + layout.align();
        let start = USED.fetch_add(size, Ordering::Relaxed);
        if start + size > 1 << 16 {
            return core::ptr::null_mut();
        }
        let heap = &raw mut HEAP as *mut u8;
        let at = unsafe { heap.add(start) };
        unsafe { at.add(at.align_offset(layout.align())) }
    }
    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ALLOCATOR: Bump = Bump;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

/// How many characters the token of a first write has; 0 if it does not read back.
#[unsafe(no_mangle)]
pub extern "C" fn token_characters(device: u64) -> usize {
    let mut minter = Minter::once(device);
    let mut place = Siblings::new();
    if place.update(&CausalContext::new(), &mut minter, 7u32).is_err() {
        return 0;
    }
    let Ok(text) = Token::new(place.context().clone()).to_text(b"place") else { return 0 };
    match Token::<u64>::from_text(b"place", &text) {
        Ok(token) if token.context == *place.context() => text.len(),
        _ => 0,
    }
}
