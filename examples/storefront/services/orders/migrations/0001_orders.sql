CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product text NOT NULL,
    quantity integer NOT NULL CHECK (quantity > 0),
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'fulfilled')),
    placed_at timestamptz NOT NULL DEFAULT now(),
    fulfilled_at timestamptz,
    fulfilled_by text
);
CREATE INDEX open_orders ON orders (id) WHERE state = 'open';
