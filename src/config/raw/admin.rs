//! `[admin]`, as it is written.

use std::path::PathBuf;

use crate::config::reader::{Leaf, Reader};

#[derive(Default)]
pub(in crate::config) struct RawAdmin {
    pub(in crate::config) listen: Leaf<String>,
    pub(in crate::config) socket: Leaf<PathBuf>,
    pub(in crate::config) allow: Leaf<Vec<String>>,
    pub(in crate::config) certificate: Leaf<String>,
    pub(in crate::config) token_file: Leaf<PathBuf>,
    pub(in crate::config) client_ca: Leaf<PathBuf>,
}

impl RawAdmin {
    pub(super) fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            listen: table.leaf("listen"),
            socket: table.leaf("socket"),
            allow: table.leaf("allow"),
            certificate: table.leaf("certificate"),
            token_file: table.leaf("token-file"),
            client_ca: table.leaf("client-ca"),
        }
    }

    pub(super) fn over(self, below: Self) -> Self {
        let Self {
            listen,
            socket,
            allow,
            certificate,
            token_file,
            client_ca,
        } = self;
        Self {
            listen: listen.or(below.listen),
            socket: socket.or(below.socket),
            allow: allow.or(below.allow),
            certificate: certificate.or(below.certificate),
            token_file: token_file.or(below.token_file),
            client_ca: client_ca.or(below.client_ca),
        }
    }
}
