-- The database of blog.py: a table to write, a view of JSONB documents to read.

CREATE TABLE tb_post (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    title text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE VIEW v_post AS
SELECT id, jsonb_build_object('id', id, 'title', title) AS data
FROM tb_post
ORDER BY created_at DESC;

INSERT INTO tb_post (title) VALUES ('Hello'), ('A second post');
