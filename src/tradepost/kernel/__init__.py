"""The words everybody uses: money, ids, errors, states, events, World and Tx. No I/O."""
