"""The stability kit: settings that change while the shop runs, switches, limits and what guards dependencies."""
