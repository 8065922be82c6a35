//! Where usher itself runs: on the host, or in which container.

use std::fs;

/// The id of the container this process runs in, if any.
///
/// The engine mounts `/etc/hostname` and its siblings from a folder named after the container, so
/// the mount table tells, whatever the version of control groups.
pub(super) fn container_id() -> Option<String> {
    from_mounts(&fs::read_to_string("/proc/self/mountinfo").ok()?)
}

/// Whether packets that come in by one network may leave by another.
pub(super) fn forwards() -> bool {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_forward");
    text.is_ok_and(|text| text.trim() == "1")
}

fn from_mounts(table: &str) -> Option<String> {
    table.lines().find_map(|line| {
        // proc(5): the fourth field is the root of the mount, the fifth where it appears.
        let mut fields = line.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        if !matches!(point, "/etc/hostname" | "/etc/hosts" | "/etc/resolv.conf") {
            return None;
        }
        root.split('/')
            .find(|part| part.len() == 64 && part.bytes().all(|b| b.is_ascii_hexdigit()))
            .map(ToOwned::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use super::from_mounts;

    #[test]
    fn the_mount_table_of_a_container_names_it() {
        let id = "0f".repeat(32);
        let inside = format!(
            "735 720 0:58 / / rw,relatime - overlay overlay rw\n\
             744 735 254:1 /var/lib/docker/containers/{id}/hostname /etc/hostname rw - ext4 /dev/vda rw\n"
        );
        assert_eq!(from_mounts(&inside), Some(id));
    }

    #[test]
    fn the_host_is_no_container() {
        let host = "24 1 254:1 / / rw,relatime - ext4 /dev/vda rw\n\
                    90 24 0:45 / /etc/hosts rw - tmpfs tmpfs rw\n";
        assert_eq!(from_mounts(host), None);
    }
}
