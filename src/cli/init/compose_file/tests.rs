use super::*;

/// The shape of the stack that OpenSlides ships.
const OPENSLIDES: &str = r#"version: '3.4'

# What everybody has.
services:
  core:
    image: openslides/openslides
    environment: &env
      VIRTUAL_HOST: localhost   # put your name here
      LETSENCRYPT_TEST: 'true'
    volumes:
      - "staticfiles:/app"
    networks: [back]
  web:
    image: openslides/openslides
    expose:
    - "8000"
    environment: *env
    depends_on:
      - core
      - nginx
      - redis
    networks:
      - back

  # The front.
  nginx:
    image: jwilder/nginx-proxy
    labels:
      com.github.jrcs.letsencrypt_nginx_proxy_companion.nginx_proxy: "true"
    ports:
      - "80:80"
      - "443:443"
    volumes:
      - certs:/etc/nginx/certs:ro

      - ./default_location:/etc/nginx/vhost.d/default_location:ro
    networks:
      - front
      - back
  letsencrypt:
    image: 'jrcs/letsencrypt-nginx-proxy-companion'
    environment:
      NGINX_PROXY_CONTAINER: nginx
    volumes:
      - /var/run/docker.sock:/var/run/docker.sock:ro
    depends_on: [nginx]
  # Passwords are in there.
  postgres:
    image: postgres:11
    ports:
      - "5432:5432"
    restart: always
  redis:
    image: redis:alpine
    ports: ["6379:6379"]
  postfix:
    image: postfix
    ports:
      - 25:25
    volumes:
      - certs:/etc/postfix/certs:ro
    depends_on:
      nginx:
        condition: service_started

volumes:
  certs:
  staticfiles:
"#;

const EDITED: &str = r#"version: '3.4'

# What everybody has.
services:
  core:
    image: openslides/openslides
    environment: &env
      VIRTUAL_HOST: localhost   # put your name here
      LETSENCRYPT_TEST: 'true'
    volumes:
      - "staticfiles:/app"
    networks: [back]
  web:
    image: openslides/openslides
    expose:
    - "8000"
    environment: *env
    depends_on:
      - core
      - redis
    networks:
      - back

  # The front.
  # Passwords are in there.
  postgres:
    image: postgres:11
    restart: always
  redis:
    image: redis:alpine
  postfix:
    image: postfix
    ports:
      - 25:25
    volumes:
      - certs:/etc/postfix/certs:ro

volumes:
  certs:
  staticfiles:
"#;

#[test]
fn the_stack_of_openslides_loses_its_proxy_and_not_a_letter_more() {
    let edited = without_proxy(OPENSLIDES).expect("understood");
    assert_eq!(edited.text, EDITED);
    assert_eq!(
        edited.removed,
        [
            "the service nginx (jwilder/nginx-proxy)",
            "the service letsencrypt (jrcs/letsencrypt-nginx-proxy-companion)",
            "the published ports of postgres",
            "the published ports of redis",
        ]
    );
    let again = without_proxy(&edited.text).expect("understood");
    assert!(
        again.removed.is_empty() && again.text == EDITED,
        "{:?}",
        again.removed
    );
    let windows = OPENSLIDES.replace('\n', "\r\n");
    let edited = without_proxy(&windows).expect("understood");
    assert_eq!(edited.text, EDITED.replace('\n', "\r\n"));
}

#[test]
fn a_file_without_a_proxy_stays_as_it_is() {
    for text in [
        "services:\n  web:\n    image: nginx\n    ports: ['80:80']\n",
        "services:\n  web:\n    build: .\n    depends_on: [nginx]\nx-more: {}\n",
    ] {
        let edited = without_proxy(text).expect("understood");
        assert_eq!((edited.text.as_str(), edited.removed.len()), (text, 0));
    }
}

#[test]
fn what_is_not_understood_is_refused_with_its_line() {
    const PROXY: &str = "services:\n  nginx:\n    image: jwilder/nginx-proxy\n";
    for (text, line, says) in [
        ("web:\n  image: a\n".to_owned(), 1, "version 1"),
        (
            "services: { web: { image: a } }\n".to_owned(),
            1,
            "on one line",
        ),
        (
            "services:\n  web: { image: a }\n".to_owned(),
            2,
            "on one line",
        ),
        ("services:\n\tweb:\n".to_owned(), 2, "tab"),
        ("services:\n  - web\n".to_owned(), 2, "name of a service"),
        (PROXY.to_owned(), 2, "no service would be left"),
        (
            format!("{PROXY}    environment: &env\n      A: b\n  web:\n    environment: *env\n"),
            7,
            "takes `*env`",
        ),
        (
            format!("{PROXY}  web:\n    depends_on: [redis, nginx]\n"),
            5,
            "write one name on each line",
        ),
        (
            format!("{PROXY}  web:\n    depends_on: [\n      nginx ]\n"),
            5,
            "several lines",
        ),
    ] {
        let error = without_proxy(&text).expect_err(&text);
        assert_eq!(error.line, line, "{text}: {error}");
        assert!(error.why.contains(says), "{text}: {error}");
    }
}
