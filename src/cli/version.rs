//! `seawall version`.

use crate::exit::Exit;

pub(super) fn version() -> Exit {
    super::print(concat!("seawall ", env!("CARGO_PKG_VERSION"), "\n"))
}
