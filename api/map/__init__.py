"""The control room's map: one page without a build step; see static/main.js for its parts."""
