-- The blog's database: tables to write, views of JSONB documents to read, a function to change.

CREATE TABLE tb_user (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    email text NOT NULL,
    invited_by uuid REFERENCES tb_user
);

CREATE TABLE tb_post (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    author_id uuid NOT NULL REFERENCES tb_user,
    title text NOT NULL,
    body text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ON tb_post (author_id);

CREATE TABLE tb_comment (
    id uuid PRIMARY KEY,
    post_id uuid NOT NULL REFERENCES tb_post,
    parent_id uuid REFERENCES tb_comment,
    author_id uuid NOT NULL REFERENCES tb_user,
    body text NOT NULL
);
CREATE INDEX ON tb_comment (post_id);
CREATE INDEX ON tb_comment (parent_id);

-- Identifiers are digests of names, so that everybody can write them down: md5('user-1')::uuid.
INSERT INTO tb_user
SELECT md5('user-' || n)::uuid, 'User ' || n, 'user' || n || '@example.org',
       CASE WHEN n > 1 THEN md5('user-' || n / 2)::uuid END
FROM generate_series(1, 40) AS n;

INSERT INTO tb_post
SELECT md5('post-' || u || '-' || p)::uuid, md5('user-' || u)::uuid, 'Post ' || p || ' of user ' || u,
       'It begins on line ' || p || '.', timestamptz '2026-01-01' + make_interval(hours => u, mins => p)
FROM generate_series(1, 40) AS u, generate_series(1, 5) AS p;

INSERT INTO tb_comment
SELECT md5('comment-' || post.id || '-' || n)::uuid, post.id, NULL, md5('user-' || n)::uuid, 'Comment ' || n
FROM tb_post AS post, generate_series(1, 3) AS n;

INSERT INTO tb_comment
SELECT md5('reply-' || parent.id)::uuid, parent.post_id, parent.id, parent.author_id, 'Reply to ' || parent.body
FROM tb_comment AS parent;

CREATE FUNCTION author_of(id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT jsonb_build_object('id', tb_user.id, 'name', name, 'invited_by', author_of(invited_by))
            FROM tb_user WHERE tb_user.id = author_of.id);
END $$;

CREATE FUNCTION replies_of(parent uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN coalesce(
        (SELECT jsonb_agg(jsonb_build_object('id', id, 'body', body, 'replies', replies_of(id)))
         FROM tb_comment WHERE parent_id = parent),
        '[]');
END $$;

CREATE VIEW v_comment AS
SELECT id, post_id, jsonb_build_object('id', id, 'body', body, 'replies', replies_of(id)) AS data
FROM tb_comment WHERE parent_id IS NULL;

CREATE VIEW v_post AS
SELECT id, author_id, created_at, jsonb_build_object(
    'id', id,
    'title', title,
    'body', body,
    'author', author_of(author_id),
    'comments', coalesce((SELECT jsonb_agg(data) FROM v_comment WHERE post_id = post.id), '[]')
) AS data
FROM tb_post AS post;

CREATE VIEW v_user AS
SELECT id, jsonb_build_object(
    'id', id,
    'name', name,
    'email', email,
    'posts', coalesce((SELECT jsonb_agg(data) FROM v_post WHERE author_id = tb_user.id), '[]')
) AS data
FROM tb_user;

-- Each row takes a second: slowPosts(limit: 3) takes three, and LIMIT stops the work after the last row asked for.
CREATE VIEW v_slow_post AS
SELECT id, jsonb_build_object('id', id, 'title', title, 'waited', pg_sleep(1) IS NOT NULL) AS data
FROM tb_post;

-- What FraiseQL expects of a function behind a mutation.
CREATE TYPE mutation_response AS (
    status text,
    message text,
    entity_id text,
    entity_type text,
    entity jsonb,
    updated_fields text[],
    cascade jsonb,
    metadata jsonb
);

-- delay_seconds stands for what makes real mutations slow: a lock, a trigger, another service.
CREATE FUNCTION create_post(input jsonb) RETURNS mutation_response
LANGUAGE plpgsql AS $$
DECLARE
    new_id uuid;
    author uuid := (input ->> 'author_id')::uuid;
BEGIN
    PERFORM pg_sleep(coalesce((input ->> 'delay_seconds')::float, 0));
    IF NOT EXISTS (SELECT FROM tb_user WHERE id = author) THEN
        RETURN ('not_found:author', 'There is no such author.', NULL, 'Post', NULL, NULL, NULL, NULL)::mutation_response;
    END IF;
    INSERT INTO tb_post (author_id, title, body)
    VALUES (author, input ->> 'title', input ->> 'body')
    RETURNING id INTO new_id;
    RETURN ('success', 'Post created.', new_id::text, 'Post', (SELECT data FROM v_post WHERE id = new_id),
            ARRAY['title', 'body'], NULL, NULL)::mutation_response;
END $$;

-- What is stored from now on is notified, with its id: to whatever listens, once the transaction has ended.
CREATE FUNCTION notify_of_row() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify(TG_ARGV[0], NEW.id::text);
    RETURN NULL;
END $$;

CREATE TRIGGER notify AFTER INSERT ON tb_post FOR EACH ROW EXECUTE FUNCTION notify_of_row('new_post');
CREATE TRIGGER notify AFTER INSERT ON tb_comment FOR EACH ROW EXECUTE FUNCTION notify_of_row('new_comment');
