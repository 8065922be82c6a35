//! What a file says over what is said outside of it, key by key.

use super::raw::{
    RawAcme, RawAdmin, RawCerts, RawCompat, RawDirectory, RawEngine, RawFile, RawListen, RawLog,
    RawStatus,
};
use super::reader::Field;

impl RawFile {
    /// `self` with `below` where it is silent.
    pub(super) fn over(self, below: Self) -> Self {
        let Self {
            include,
            state_dir,
            listen,
            admin,
            engine,
            certs,
            compat,
            acme,
            alerts,
            log,
            status,
            stop_within,
            limits,
            scale,
            instances,
        } = self;
        Self {
            include: include.or(below.include),
            state_dir: state_dir.or(below.state_dir),
            listen: listen.over(below.listen),
            admin: admin.over(below.admin),
            engine: engine.over(below.engine),
            certs: certs.over(below.certs),
            compat: compat.over(below.compat),
            acme: match (acme, below.acme) {
                (Some(own), Some(below)) => Some(own.over(below)),
                (own, below) => own.or(below),
            },
            // Receivers and instances are whole things, and those of both are there.
            alerts: alerts.into_iter().chain(below.alerts).collect(),
            log: log.over(below.log),
            status: status.over(below.status),
            stop_within: stop_within.or(below.stop_within),
            limits: limits.over(&below.limits),
            scale: scale.over(&below.scale),
            instances: instances.into_iter().chain(below.instances).collect(),
        }
    }
}

impl RawListen {
    fn over(self, below: Self) -> Self {
        let Self {
            http,
            https,
            max_connections,
            trusted_proxies,
            proxy_protocol,
            http2,
            default_host,
        } = self;
        Self {
            http: http.or(below.http),
            https: https.or(below.https),
            max_connections: max_connections.or(below.max_connections),
            trusted_proxies: trusted_proxies.or(below.trusted_proxies),
            proxy_protocol: proxy_protocol.or(below.proxy_protocol),
            http2: http2.or(below.http2),
            default_host: default_host.or(below.default_host),
        }
    }
}

impl RawAdmin {
    fn over(self, below: Self) -> Self {
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

impl RawEngine {
    fn over(self, below: Self) -> Self {
        let Self {
            kind,
            endpoint,
            networks,
            names_from_containers,
            container_filters,
            prefer_ipv6,
            trusted_networks,
        } = self;
        Self {
            kind: kind.or(below.kind),
            endpoint: endpoint.or(below.endpoint),
            networks: networks.or(below.networks),
            names_from_containers: names_from_containers.or(below.names_from_containers),
            container_filters: container_filters.or(below.container_filters),
            prefer_ipv6: prefer_ipv6.or(below.prefer_ipv6),
            trusted_networks: trusted_networks.or(below.trusted_networks),
        }
    }
}

impl RawCerts {
    fn over(self, below: Self) -> Self {
        let Self {
            dir,
            unknown_name,
            min_version,
            reuse_key,
            key_type,
            webroot,
        } = self;
        Self {
            dir: dir.or(below.dir),
            unknown_name: unknown_name.or(below.unknown_name),
            min_version: min_version.or(below.min_version),
            reuse_key: reuse_key.or(below.reuse_key),
            key_type: key_type.or(below.key_type),
            webroot: webroot.or(below.webroot),
        }
    }
}

impl RawCompat {
    fn over(self, below: Self) -> Self {
        let Self {
            nginx,
            html,
            app,
            trust_default_cert,
        } = self;
        Self {
            nginx: nginx.or(below.nginx),
            html: html.or(below.html),
            app: app.or(below.app),
            trust_default_cert: trust_default_cert.or(below.trust_default_cert),
        }
    }
}

impl RawAcme {
    fn over(self, below: Self) -> Self {
        let Self {
            email,
            directories,
            challenges,
            dns_hook,
            preflight,
            new_names_per_day,
            resolver,
            directory,
        } = self;
        // A hook proves names in a way of its own; challenges without it would leave it unused.
        let challenges = match (&challenges, &dns_hook) {
            (None, Some(_)) => None,
            _ => challenges.or(below.challenges),
        };
        Self {
            email: email.or(below.email),
            directories: directories.or(below.directories),
            challenges,
            dns_hook: dns_hook.or(below.dns_hook),
            preflight: preflight.or(below.preflight),
            new_names_per_day: new_names_per_day.or(below.new_names_per_day),
            resolver: resolver.or(below.resolver),
            directory: directories_over(directory, below.directory),
        }
    }
}

type Directories = Vec<(Field<String>, RawDirectory)>;

/// One that the file declares is the file's alone.
fn directories_over(own: Directories, below: Directories) -> Directories {
    let inherited: Vec<_> = below
        .into_iter()
        .filter(|(name, _)| own.iter().all(|(known, _)| known.value != name.value))
        .collect();
    own.into_iter().chain(inherited).collect()
}

impl RawLog {
    fn over(self, below: Self) -> Self {
        let Self {
            format,
            access,
            addresses,
            queries,
            access_keys,
            access_format,
        } = self;
        Self {
            format: format.or(below.format),
            access: access.or(below.access),
            addresses: addresses.or(below.addresses),
            queries: queries.or(below.queries),
            access_keys: access_keys.or(below.access_keys),
            access_format: access_format.or(below.access_format),
        }
    }
}

impl RawStatus {
    fn over(self, below: Self) -> Self {
        let Self {
            load_per_core,
            memory_available,
            disk_available,
        } = self;
        Self {
            load_per_core: load_per_core.or(below.load_per_core),
            memory_available: memory_available.or(below.memory_available),
            disk_available: disk_available.or(below.disk_available),
        }
    }
}
